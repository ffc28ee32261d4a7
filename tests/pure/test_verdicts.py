"""What is believed of each worker, and why (DESIGN rules 4, 6 and 7)."""

from __future__ import annotations

import pytest
from builders import ago, session
from world import DEFAULTS, SIGKILL, UNREAD, dead_target, target, worker, world

from gradewatch.config import QueueSettings, Settings, Timeouts
from gradewatch.model import Exit, ExitCause, ExitKind, Verdict, WorkerVerdict
from gradewatch.verdicts import HeartbeatTimeouts, absent, fleet_gate, judge


def judged(*workers, targets=(), single=False) -> tuple[WorkerVerdict, ...]:
    return judge(world(workers=workers, targets=targets, single=single), DEFAULTS)


def verdict_on(one, **given) -> WorkerVerdict:
    [verdict] = judged(one, **given)
    return verdict


def fleet(*silences: float, **more) -> tuple[WorkerVerdict, ...]:
    return judged(*(worker(f"s{n}", silent=s, **more) for n, s in enumerate(silences)))


# ---------------------------------------------------------------- rule 4: a stale heartbeat is suspicion, not proof


def test_rule_4_a_beating_worker_is_alive():
    verdict = verdict_on(worker(silent=2.0))
    assert verdict.verdict is Verdict.ALIVE
    assert verdict.evidence == "beat 2.0 s ago"


@pytest.mark.parametrize(("silent", "verdict"), [(15.0, Verdict.ALIVE), (15.1, Verdict.SUSPECT)])
def test_rule_4_silence_beyond_the_heartbeat_timeout_is_suspicion(silent, verdict):
    assert verdict_on(worker(silent=silent)).verdict is verdict


def test_rule_4_no_silence_however_long_proves_a_death():
    verdict = verdict_on(worker(silent=86_400.0))
    assert verdict.verdict is Verdict.SUSPECT
    assert "nothing proves its death" in verdict.evidence


def test_rule_4_a_fresh_thread_beat_over_a_stale_loop_is_starved():
    verdict = verdict_on(worker(silent=2.0, loop_age=40.0))
    assert verdict.verdict is Verdict.STARVED
    assert "has not moved for 40 s" in verdict.evidence


def test_rule_4_a_stale_loop_under_a_stale_thread_beat_is_suspicion():
    assert verdict_on(worker(silent=20.0, loop_age=40.0)).verdict is Verdict.SUSPECT


def test_rule_4_a_process_seen_to_end_is_proof_even_while_its_beat_is_fresh():
    verdict = verdict_on(worker(silent=0.5, incarnation="life-1"), targets=[dead_target(life="life-1")])
    assert verdict.verdict is Verdict.DEAD
    assert verdict.evidence == "its process ended: killed by SIGKILL"
    assert verdict.target == "place-1"


def test_rule_4_a_process_the_platform_forgot_is_proof_too():
    gone = dead_target(life="life-1", how=None)
    verdict = verdict_on(worker(incarnation="life-1"), targets=[gone])
    assert verdict.evidence == "its process ended: the platform no longer knows it"


def test_rule_4_the_death_of_one_life_says_nothing_of_the_next():
    reborn = target(life="life-2", ended_incarnations=("life-1",), exits=(Exit(5.0, 60.0, SIGKILL),))
    old, new = judged(worker("s1", incarnation="life-1"), worker("s2", incarnation="life-2"), targets=[reborn])
    assert (old.verdict, new.verdict) == (Verdict.DEAD, Verdict.ALIVE)
    assert new.target == "place-1"


def test_a_silent_worker_whose_process_is_there_hangs():
    verdict = verdict_on(worker(silent=20.0, incarnation="life-1"), targets=[target(life="life-1")])
    assert verdict.verdict is Verdict.SUSPECT
    assert "its process 4711 is still there, so it hangs or is stopped" in verdict.evidence


def test_a_worker_from_elsewhere_is_matched_to_no_target():
    nameless = target(life="")
    assert verdict_on(worker(incarnation=""), targets=[nameless]).target is None


def test_ended_sessions_get_no_verdict():
    assert judged(worker(ended_at=ago(5), end_reason="drained")) == ()


def test_rule_5_unread_workers_get_no_verdict():
    assert judge(world(workers=UNREAD, targets=[dead_target()]), DEFAULTS) == ()


def test_rule_5_an_unread_platform_proves_no_death():
    seen = world(workers=[worker(silent=20.0, incarnation="life-1")], targets=UNREAD)
    [verdict] = judge(seen, DEFAULTS)
    assert verdict.verdict is Verdict.SUSPECT


# ---------------------------------------------------------------- rule 6: silence counts as far as this watch saw it


def test_rule_6_a_session_stale_before_this_watch_looked_is_unknown():
    verdict = verdict_on(worker(silent=3.0, store_silent=400.0, seen_beating=False))
    assert verdict.verdict is Verdict.UNKNOWN
    assert "400 s old by the store's clock, but this watch has seen it silent for only 3.0 s" in verdict.evidence


def test_rule_6_a_single_cycle_goes_by_the_stores_clock():
    verdict = verdict_on(worker(silent=0.0, store_silent=400.0, seen_beating=False), single=True)
    assert verdict.verdict is Verdict.SUSPECT
    assert verdict.silent_seconds == 400.0


def test_rule_6_a_clock_stepped_back_makes_no_negative_age():
    assert verdict_on(worker(silent=1.0, store_silent=-3600.0)).evidence == "beat 0.0 s ago"


# ---------------------------------------------------------------- rule 7: the fleet gate


@pytest.mark.parametrize(
    ("silences", "suspect"),
    [
        ((60.0, 60.0), False),  # two workers are no fleet
        ((60.0, 1.0, 1.0), False),
        ((60.0, 60.0, 1.0), True),
        ((60.0, 60.0, 1.0, 1.0), False),  # half is not more than half
        ((60.0, 60.0, 60.0, 1.0), True),
        ((1.0, 1.0, 1.0), False),
    ],
)
def test_rule_7_more_than_half_of_three_or_more_gone_silent_points_at_the_monitor(silences, suspect):
    assert (fleet_gate(fleet(*silences)) is not None) is suspect


def test_rule_7_says_how_many():
    assert fleet_gate(fleet(60.0, 60.0, 1.0)) == "2 of 3 workers fell silent together"


def test_rule_7_proved_deaths_do_not_close_the_gate():
    workers = [worker(f"s{n}", silent=60.0, incarnation=f"life-{n}") for n in range(3)]
    dead = [dead_target(f"place-{n}", life=f"life-{n}") for n in range(3)]
    assert fleet_gate(judged(*workers, targets=dead)) is None


def test_rule_7_left_overs_this_watch_never_saw_beat_do_not_close_the_gate():
    assert fleet_gate(fleet(60.0, 60.0, 60.0, seen_beating=False)) is None


@pytest.mark.parametrize(("silent", "closed"), [(599.0, True), (600.0, False)])
def test_rule_7_the_gate_opens_by_itself_after_its_window(silent, closed):
    assert (fleet_gate(fleet(silent, silent, silent)) is not None) is closed


def test_rule_7_a_single_cycle_has_only_the_store_to_tell_a_fleet_by():
    stale = [worker(f"s{n}", silent=0.0, store_silent=60.0, seen_beating=False) for n in range(3)]
    assert fleet_gate(judged(*stale, single=True)) == "3 of 3 workers fell silent together"


def test_rule_7_a_fleet_that_looks_stale_to_a_blinking_watch_closes_the_gate():
    assert fleet_gate(fleet(2.0, 2.0, 2.0, store_silent=60.0)) == "3 of 3 workers fell silent together"


# ---------------------------------------------------------------- whose jobs may be taken


def test_jobs_may_be_taken_only_from_the_dead_and_the_suspect():
    workers = [
        worker("alive"),
        worker("starved", loop_age=60.0),
        worker("suspect", silent=60.0),
        worker("unwatched", silent=1.0, store_silent=60.0, seen_beating=False),
        worker("dead", incarnation="life-1"),
    ]
    assert absent(judged(*workers, targets=[dead_target(life="life-1")])) == {"suspect", "dead"}


# ---------------------------------------------------------------- timeouts and words


def test_a_worker_must_beat_as_often_as_its_most_impatient_queue_asks():
    patience = {"slow": 60.0, "quick": 5.0}
    by = Settings(queues={q: QueueSettings(q, Timeouts(heartbeat=s)) for q, s in patience.items()})
    assert HeartbeatTimeouts(by)[session(queues=("slow", "quick"))] == 5.0
    assert HeartbeatTimeouts(by)[session(queues=("slow",))] == 60.0


def test_a_worker_of_unwatched_queues_is_held_to_the_default():
    assert HeartbeatTimeouts(DEFAULTS)[session(queues=("elsewhere",))] == 15.0


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (ExitCause(ExitKind.EXITED, 3), "exited with code 3"),
        (SIGKILL, "killed by SIGKILL"),
        (ExitCause(ExitKind.OOM_KILLED), "oom killed"),
        (
            ExitCause(ExitKind.EVICTED, detail="evicted: the node was low on memory"),
            "evicted: the node was low on memory",
        ),
    ],
)
def test_evidence_of_a_death_says_how(how, words):
    verdict = verdict_on(worker(incarnation="life-1"), targets=[dead_target(life="life-1", how=how)])
    assert verdict.evidence == f"its process ended: {words}"
