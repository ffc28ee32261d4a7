"""What holds in any world at all: the rules that no example may be an exception to (DESIGN section 3)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from builders import NOW, ago
from generated import any_settings, controls, targets, unread, workers, worlds
from hypothesis import given, settings
from hypothesis import strategies as st
from world import decided, diagnosed, read, ruled, world

from gradewatch.diagnose import diagnose
from gradewatch.history import late_by
from gradewatch.limits import rule
from gradewatch.model import ActionKind, Code, Credit, JobState, Known, Pause, Sight, Snapshot, Target, Verdict
from gradewatch.schedule import MARGIN, next_wake
from gradewatch.verdicts import judge

examples = settings(max_examples=60)
OFF_OR_DRY = st.sampled_from(["off", "dry-run"])
any_world = worlds()
remembering = worlds(control=controls.map(read), observe_only=st.just(False))
acting = worlds(observe_only=st.just(False))


def listed(seen: Snapshot) -> tuple[Target, ...]:
    return seen.platform.value if isinstance(seen.platform, Known) else ()


def lateness(job, seen, by) -> float:
    return late_by(job, NOW, by.queues[job.queue].timeouts, seen.control.value.credits)


# ---------------------------------------------------------------- diagnose


@examples
@given(any_world, any_settings)
def test_every_finding_has_evidence_and_a_fix(seen, by):
    for finding in diagnosed(seen, by).findings:
        assert finding.summary
        assert finding.subject
        assert finding.fix
        assert finding.evidence
        assert all(finding.evidence)


@examples
@given(any_world, any_settings)
def test_the_same_values_give_the_same_findings_and_rulings(seen, by):
    assert diagnosed(seen, by) == diagnosed(seen, by) == diagnose(seen, by, judge(seen, by))
    assert ruled(seen, by) == ruled(seen, by)


@examples
@given(workers, targets)
def test_rule_4_only_the_platform_proves_a_death(some, places):
    ended = {life for t in places for life in t.ended_incarnations}
    for verdict in diagnosed(world(workers=some, targets=places)).verdicts:
        assert (verdict.verdict is Verdict.DEAD) == (verdict.session.incarnation in ended)


# ---------------------------------------------------------------- decide


@pytest.mark.parametrize(
    "blind",
    [
        worlds(store=unread),
        worlds(control=unread),
        worlds(observe_only=st.just(True)),
    ],
    ids=["store unread", "control unread", "first cycle"],
)
def test_rules_5_and_6_nothing_is_decided_blindly(blind):
    @examples
    @given(blind, any_settings)
    def nothing_is_decided(seen, by):
        assert decided(seen, by) == ()

    nothing_is_decided()


@examples
@given(any_world, any_settings)
def test_rule_7_nothing_is_decided_while_the_monitor_is_suspect(seen, by):
    if diagnosed(seen, by).has(Code.MONITOR_SUSPECT):
        assert decided(seen, by) == ()


@examples
@given(acting, any_settings)
def test_no_job_and_no_target_gets_two_actions_in_one_cycle(seen, by):
    counts = Counter((a.kind is ActionKind.RESTART, a.subject) for a in decided(seen, by))
    assert all(n == 1 for n in counts.values())


@examples
@given(acting, any_settings)
def test_rule_4_a_running_job_is_touched_only_when_late_or_its_worker_is_lost(seen, by):
    verdicts = {v.session.id: v.verdict for v in diagnosed(seen, by).verdicts}
    for action in decided(seen, by):
        if action.job is not None and action.job.state is JobState.RUNNING:
            lost = verdicts.get(action.job.session_id, Verdict.DEAD) in (Verdict.DEAD, Verdict.SUSPECT)
            assert lateness(action.job, seen, by) > 0 if action.kind is ActionKind.EXPIRE else lost


@examples
@given(acting, any_settings)
def test_rule_6_a_waiting_job_is_touched_only_when_late_after_all_credit(seen, by):
    for action in decided(seen, by):
        if action.job is not None and action.job.state is JobState.PENDING:
            assert action.kind is ActionKind.EXPIRE
            assert lateness(action.job, seen, by) > 0


@examples
@given(acting, any_settings)
def test_rule_6_credit_for_all_time_leaves_nobody_late(seen, by):
    if isinstance(seen.control, Known):
        forever = replace(seen.control.value, credits=(Credit("outage", ago(1e6), NOW),))
        credited = replace(seen, control=read(forever))
        assert ActionKind.EXPIRE not in {a.kind for a in decided(credited, by)}


@examples
@given(worlds(workers=unread, observe_only=st.just(False)), any_settings)
def test_rule_5_with_the_sessions_unread_only_dead_processes_and_late_jobs_are_acted_on(seen, by):
    up = {t.name for t in listed(seen) if t.running}
    for action in decided(seen, by):
        assert action.kind in (ActionKind.RESTART, ActionKind.EXPIRE)
        assert action.subject not in up


@examples
@given(worlds(platform=unread, observe_only=st.just(False)), any_settings)
def test_rule_5_with_the_platform_unread_nothing_is_restarted(seen, by):
    assert ActionKind.RESTART not in {a.kind for a in decided(seen, by)}


@examples
@given(acting, any_settings)
def test_a_place_that_no_restart_would_cure_is_left_alone(seen, by):
    incurable = {(t.subject, t.incarnation) for t in listed(seen) if t.no_restart}
    taken = [r.action for r in rule(decided(seen, by), seen, by) if r.outcome is None]
    assert not incurable & {(a.subject, a.incarnation) for a in taken if a.kind is ActionKind.RESTART}


@examples
@given(acting, any_settings)
def test_where_the_platform_sees_no_process_no_place_is_restarted_in_which_a_worker_beats(seen, by):
    if isinstance(seen.workers, Known):
        blind = {t.name for t in listed(seen) if t.running and t.sight is Sight.NONE}
        beating = {w.session.target for w in seen.workers.value if w.silent_seconds < 15 and not w.session.ended_at}
        hung = {a.subject for a in decided(seen, by) if a.reason is not Code.WORKER_WEDGED}
        assert not blind & beating & hung


@examples
@given(acting, any_settings)
def test_every_action_says_why_and_every_failed_job_is_told(seen, by):
    for action in decided(seen, by):
        assert action.message
        if action.kind in (ActionKind.EXPIRE, ActionKind.FAIL):
            assert action.error.code
            assert action.error.message


# ---------------------------------------------------------------- limits


@examples
@given(acting, any_settings)
def test_rule_9_no_more_goes_ahead_than_the_budget_leaves(seen, by):
    taken = Counter((r.action.kind, r.action.queue) for r in ruled(seen, by) if r.outcome is None)
    for (kind, queue), count in taken.items():
        spent = seen.control.value.spent.get((kind, queue), 0)
        assert count + spent <= by.remediation.budget[kind].count


@examples
@given(acting, any_settings)
def test_each_action_gets_one_ruling_and_a_held_one_says_why(seen, by):
    actions = decided(seen, by)
    rulings = rule(actions, seen, by)
    assert tuple(r.action for r in rulings) == actions
    assert all((r.outcome is None) == (r.why == "") for r in rulings)


@examples
@given(remembering, any_settings, OFF_OR_DRY)
def test_rule_13_with_repairs_off_or_dry_nothing_goes_ahead(seen, by, mode):
    held = replace(by, remediation=replace(by.remediation, mode=mode))
    assert all(r.outcome is not None for r in ruled(seen, held))


@examples
@given(remembering, any_settings)
def test_rule_13_while_paused_nothing_goes_ahead(seen, by):
    paused = replace(seen.control.value, pause=Pause(NOW, None, "ana"))
    assert all(r.outcome is not None for r in ruled(replace(seen, control=read(paused)), by))


@examples
@given(acting, any_settings)
def test_rule_8_no_waiting_job_is_failed_while_a_restart_of_its_worker_goes_ahead(seen, by):
    ahead = [r.action for r in ruled(seen, by) if r.outcome is None]
    serves = {t.name: t.queues for t in listed(seen)}
    restarting = {queue for a in ahead if a.kind is ActionKind.RESTART for queue in serves[a.subject]}
    failed = {a.queue for a in ahead if a.job is not None and a.job.state is JobState.PENDING}
    assert not restarting & failed


# ---------------------------------------------------------------- schedule


@examples
@given(any_world, any_settings)
def test_the_next_wake_lies_ahead(seen, by):
    due = next_wake(seen, by)
    assert due is None or due > MARGIN
