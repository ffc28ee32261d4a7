"""What the page remembers between cycles, and how it puts things into words and in order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from builders import NOW, ago, finding, queue_stats, report, session, snapshot, verdict

from gradewatch.config import QueueSettings, Settings
from gradewatch.http.page.headline import headline
from gradewatch.http.page.memory import HAPPENINGS, SAMPLES, SPACING, Memory
from gradewatch.http.page.rows import queue_rows, workers
from gradewatch.http.page.timeline import moments
from gradewatch.http.page.words import count, short, span
from gradewatch.model import AuditEntry, Code, Known, Outcome, Severity, Unknown, Verdict

SETTINGS = Settings(queues={name: QueueSettings(name=name) for name in ("default", "urgent")})


def seen(*queues: Any, at: float = 1000.0, **changes: Any) -> Any:
    return report(snapshot(queues or None, mono=at), **changes)


def away(at: float, seconds: float = 0.0) -> Any:
    gone = Unknown("the disk is full", at, Code.STORE_UNREACHABLE)
    lost = replace(snapshot(mono=at), store=gone, workers=gone, queues={"default": gone}, control=gone)
    return report(lost, verdicts=[], wall=NOW + timedelta(seconds=seconds))


def test_a_sparkline_takes_a_step_every_15_seconds_and_always_ends_now() -> None:
    memory = Memory()
    for number in range(9):
        memory.note(seen(queue_stats(pending=number, running=0), at=1000.0 + number * SPACING / 3))
    assert memory.depths("default") == [2, 5, 8]
    for number in range(200):
        memory.note(seen(queue_stats(pending=number, running=1), at=2000.0 + number * SPACING))
    assert len(memory.depths("default")) == SAMPLES
    assert memory.depths("default")[-1] == 200
    assert memory.depths("nowhere") == []


def test_while_the_store_is_away_the_last_good_readings_grow_older() -> None:
    memory = Memory()
    memory.note(seen(at=1000.0))
    gone = away(1060.0)
    memory.note(gone)
    row = next(row for row in queue_rows(gone, memory, SETTINGS) if row["name"] == "default")
    assert (row["level"], row["unread"], row["pending"]) == ("unknown", "the disk is full", 3)
    assert (row["oldest_pending"], row["read_ago"]) == (100.0, 60.0)
    (worker,) = workers(memory, [], 1060.0)["workers"]
    assert worker["beat_ago"] == 61.0


def test_the_store_is_away_since_it_was_first_seen_to_be() -> None:
    memory = Memory()
    for seconds in (0, 5, 10):
        memory.note(away(1000.0 + seconds, seconds))
    assert memory.away is not None
    assert (memory.away.since, memory.away.reason) == (NOW, "the disk is full")
    memory.note(seen(at=1015.0))
    assert memory.away is None


def test_findings_that_come_and_go_are_told_once_each_and_no_more_than_a_hundred_are_kept() -> None:
    memory = Memory()
    for findings in ([finding()], [finding(), finding(subject="b")], [finding(subject="b")], []):
        memory.note(seen(findings=findings))
    assert [(h.finding.subject, h.gone) for h in memory.happenings] == [
        ("default", False),
        ("b", False),
        ("default", True),
        ("b", True),
    ]
    for number in range(300):
        memory.note(seen(findings=[finding(subject=str(number))]))
    assert len(memory.happenings) == HAPPENINGS


def entry(number: int, **changes: Any) -> AuditEntry:
    plain = AuditEntry(
        id=number,
        sweep="s1",
        at=ago(100 - number),
        by="watch",
        action="requeue",
        queue="default",
        subject=f"job-{number}",
        outcome=Outcome.APPLIED,
        reason="worker_not_running",
        message="its worker is gone",
    )
    return replace(plain, **changes)


def test_what_one_sweep_did_is_one_moment_between_what_was_found_and_what_went() -> None:
    memory = Memory()
    memory.note(seen(findings=[finding()], wall=ago(99)))
    memory.note(seen(findings=[], wall=ago(80)))
    told = moments(memory.happenings, [entry(n) for n in range(10, 0, -1)])
    assert [one["kind"] for one in told] == ["cleared", "repair", "finding"]
    assert (told[1]["count"], told[1]["subjects"][0], len(told[1]["subjects"])) == (10, "job-10", 5)
    assert told[1]["can_undo"] is True


@pytest.mark.parametrize(
    ("changes", "can_undo"),
    [
        ({}, True),
        ({"action": "restart"}, False),
        ({"outcome": Outcome.SUPPRESSED}, False),
        ({"outcome": Outcome.NOOP}, False),
        ({"undone_at": NOW}, False),
    ],
)
def test_only_what_was_done_and_stands_can_be_undone(changes: dict[str, Any], can_undo: bool) -> None:
    assert moments([], [entry(1, **changes)])[0]["can_undo"] is can_undo


def test_queues_stand_with_the_gravest_first_and_then_by_the_wait_they_have_used() -> None:
    settings = Settings(queues={name: QueueSettings(name=name) for name in ("a", "b", "c", "d", "e")})
    stats = [
        queue_stats(name, oldest_pending_at=ago(wait)) for name, wait in (("a", 10), ("b", 200), ("c", 5), ("d", 7))
    ]
    found = [
        finding(subject="c", queue="c", severity=Severity.WARNING),
        finding(subject="d", queue="d"),
        finding(subject="d2", queue="d", severity=Severity.INFO),
    ]
    one = report(snapshot(stats), findings=found)
    memory = Memory()
    memory.note(one)
    rows = queue_rows(one, memory, settings)
    assert [(row["name"], row["level"]) for row in rows] == [
        ("d", "critical"),
        ("c", "warning"),
        ("e", "unknown"),
        ("b", "ok"),
        ("a", "ok"),
    ]


def test_workers_can_be_looked_for_and_those_in_trouble_stand_first() -> None:
    verdicts = [
        verdict(session("1", name="Alpha", host="north")),
        verdict(session("2", name="beta", host="south"), Verdict.DEAD),
        verdict(session("3", name="gamma", host="NORTH", queues=("urgent",)), Verdict.STARVED),
    ]
    memory = Memory()
    memory.note(report(snapshot(sessions=[v.session for v in verdicts]), verdicts=verdicts))

    def found(match: str, limit: int = 50) -> list[str]:
        return [worker["name"] for worker in workers(memory, [], 0.0, match=match, limit=limit)["workers"]]

    assert found("") == ["beta", "gamma", "Alpha"]
    assert found("", 1) == ["beta"]
    assert found("nOrTh") == ["gamma", "Alpha"]
    assert found("dead") == ["beta"]
    assert found("urgent") == ["gamma"]
    assert found("nobody") == []
    assert workers(memory, [], 0.0, match="dead")["verdicts"] == {"dead": 1, "starved": 1, "alive": 1}


def test_the_headline_of_a_calm_queue_has_figures_and_of_an_empty_one_none() -> None:
    calm = headline(seen(), 0.0, SETTINGS)
    assert (calm.level, calm.sentence) == (
        "ok",
        "All is well: 3 jobs wait, 2 jobs run, 1 worker alive; the oldest has waited 40 s of the 5 min it may",
    )
    busy = headline(seen(queue_stats(pending=0, running=1, oldest_pending_at=None)), 0.0, SETTINGS)
    assert busy.sentence == "All is well: nothing waits, 1 job runs, 1 worker alive"
    empty = seen(queue_stats(pending=0, running=0, oldest_pending_at=None, oldest_running_at=None))
    assert headline(empty, 0.0, SETTINGS).sentence == "All is well: nothing waits, 1 worker alive"


def test_the_headline_is_the_gravest_finding_with_its_cause_and_fix() -> None:
    told = headline(seen(findings=[finding(), finding(subject="b"), finding(subject="c")]), 0.0, SETTINGS)
    assert (told.level, told.sentence) == ("critical", "no live worker serves the queue – and 2 more findings")
    assert (told.cause, told.fix, told.command) == ("the last beat is 120 s old", "start a worker", "gradewatch worker")
    assert (told.code, told.runbook) == ("worker_not_running", "docs/runbooks/worker_not_running.md")


def test_without_a_finding_and_without_a_worker_it_does_not_say_that_all_is_well() -> None:
    quiet = report(snapshot(sessions=[]), verdicts=[])
    assert headline(quiet, 0.0, SETTINGS).level == "warning"
    unread = report(replace(snapshot(), workers=Unknown("no answer", 1000.0)), verdicts=[])
    assert headline(unread, 0.0, SETTINGS).level == "warning"


def test_a_queue_that_could_not_be_read_is_not_an_empty_one() -> None:
    untold = headline(report(snapshot([Unknown("not read yet", 1000.0)]), verdicts=[verdict()]), 0.0, SETTINGS)
    assert (untold.level, untold.sentence) == ("unknown", "Cannot tell whether all is well: default could not be read")
    assert untold.cause == "not read yet"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_spans_are_told_in_two_units_at_most(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_long_texts_are_cut_and_say_so() -> None:
    assert short("x" * 300) == "x" * 300
    assert short("x" * 10_240) == "x" * 300 + "… (10,240 characters)"
    assert (count(1, "job"), count(1000, "job"), count(2, "day off", "days off")) == (
        "1 job",
        "1,000 jobs",
        "2 days off",
    )


def test_known_is_kept_by_queue() -> None:
    memory = Memory()
    memory.note(seen(queue_stats(), queue_stats("urgent")))
    memory.note(seen(queue_stats(pending=9)))
    assert isinstance(memory.queues["urgent"], Known)
    assert memory.queues["default"].value.stats.pending == 9
