"""PURE. What the past means for the present: credited waiting, and what earlier restarts say about the next one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from gradewatch.config import Timeouts
from gradewatch.model import (
    ActionKind,
    ControlFacts,
    Credit,
    JobRef,
    JobState,
    Outcome,
    RestartRecord,
    Session,
    Snapshot,
    Target,
    Unknown,
    group_of,
    life_of,
)

GIVE_UP_AFTER = 2  # ineffective restarts in a row (DESIGN rule 10)


def credited_age(since: datetime, now: datetime, credits: Sequence[Credit]) -> float:
    """Seconds from `since` to `now`, less the union of the credited spans between them. Never negative."""
    if not credits:
        return max(0.0, (now - since).total_seconds())
    spans = sorted((max(c.start, since), min(c.end, now)) for c in credits if c.end > since and c.start < now)
    blameless, reached = 0.0, since
    for start, end in spans:
        start = max(start, reached)
        if end > start:
            blameless += (end - start).total_seconds()
            reached = end
    return max(0.0, (now - since).total_seconds() - blameless)


def late_by(job: JobRef, now: datetime, limits: Timeouts, credits: Sequence[Credit]) -> float:
    """Seconds beyond this job's timeout, outages and pauses credited; negative while it is in time. What a running
    job waited for a provider is credited too, even where an outage overlaps with it: nobody keeps those spans."""
    if job.state is JobState.PENDING:
        return credited_age(job.run_at, now, credits) - limits.schedule_to_start
    return credited_age(job.started_at or now, now, credits) - job.waited - limits.start_to_close


def seconds_since(record: RestartRecord, control: ControlFacts) -> float:
    return (control.now - record.at).total_seconds()


def restarts_of(target: str, control: ControlFacts) -> tuple[RestartRecord, ...]:
    """This target's restarts, newest last; those of all its group, where it has one: each member has a new name."""
    group = group_of(target)
    return tuple(r for r in control.restarts if group_of(r.target) == group)


def in_flight(target: str, control: ControlFacts) -> RestartRecord | None:
    """The restart of this target that is still to be verified, if there is one."""
    last = restarts_of(target, control)[-1:]
    return last[0] if last and last[0].outcome is Outcome.APPLIED and last[0].verified is None else None


def given_up(target: str, control: ControlFacts) -> bool:
    """True when the last restarts of this target did not help or were refused by its platform. An effective one, or
    `gradewatch resume`, clears it."""
    since = control.resumed_at
    tail = [r for r in restarts_of(target, control) if since is None or r.at > since][-GIVE_UP_AFTER:]
    return len(tail) == GIVE_UP_AFTER and all(r.outcome is Outcome.FAILED or r.verified is False for r in tail)


def cooldown_left(target: str, control: ControlFacts, base: float, most: float) -> float:
    """Seconds until this target may be restarted again: `base`, doubled with each restart of the last hour."""
    recent = [r for r in restarts_of(target, control) if seconds_since(r, control) < 3600.0]
    if not recent:
        return 0.0
    wait = min(most, base * 2.0 ** (len(recent) - 1))
    age = seconds_since(recent[-1], control)
    return max(0.0, wait - age) if age >= 0 else 0.0  # a restart in the future: the clock was stepped back since


def verifications(snapshot: Snapshot, control: ControlFacts, window: float) -> Sequence[tuple[RestartRecord, bool]]:
    """Restarts whose effect is known now: True when the target, or another of its group, has beaten since, or a job of
    its queue was begun or finished where workers do not beat; False when the window passed. While the platform does not
    answer, nobody can say who belongs to a group."""
    if isinstance(snapshot.workers, Unknown):
        return ()
    verified: list[tuple[RestartRecord, bool]] = []
    for record in control.restarts:
        if record.outcome is not Outcome.APPLIED or record.verified is not None:
            continue
        lives = frozenset(t.incarnation for t in _places_of(record, snapshot) if t.incarnation)
        beat = any(
            (w.session.target == record.target or life_of(w.session.incarnation) in lives)
            and w.session.beats > 0
            and _opened_since(record, w.session, control.now)
            for w in snapshot.workers.value
        )
        beat = beat or _job_followed(record, snapshot)
        if beat or _window_passed(record, snapshot, control, window):
            verified.append((record, beat))
    return verified


def _opened_since(record: RestartRecord, session: Session, now: datetime) -> bool:
    """Was this session opened after the restart? What lies ahead of `now` is from before a step back of the clock."""
    if record.at > now:
        return session.started_at >= record.at or session.ended_at is None
    if session.ended_at is not None and session.ended_at <= record.at:
        return False
    return record.at <= session.started_at <= now


def _window_passed(record: RestartRecord, snapshot: Snapshot, control: ControlFacts, window: float) -> bool:
    """By the store's clock; by the platform's, where the store's was stepped back behind the restart."""
    if isinstance(snapshot.platform, Unknown):
        return False
    if record.at <= control.now:
        return credited_age(record.at, control.now, control.credits) > window
    return any(t.running and t.running_seconds > window for t in _places_of(record, snapshot))


def _places_of(record: RestartRecord, snapshot: Snapshot) -> Sequence[Target]:
    """The places that this restart was for: the one, or the members of its group."""
    targets = () if isinstance(snapshot.platform, Unknown) else snapshot.platform.value
    group = group_of(record.target)
    return [t for t in targets if (t.group == group or t.subject == record.target) and not t.whole]


def _job_followed(record: RestartRecord, snapshot: Snapshot) -> bool:
    """Has a job been started or finished since, in a queue whose workers need not beat?"""
    reading = snapshot.queues.get(record.queue)
    if reading is None or isinstance(reading, Unknown) or reading.value.foreign is None:
        return False
    stats = reading.value.stats
    return any(when is not None and when >= record.at for when in (stats.last_started_at, stats.last_finished_at))


def budget_left(kind: ActionKind, queue: str, count: int, control: ControlFacts) -> int:
    """How many more repairs of this kind the queue's budget allows in its window."""
    return max(0, count - control.spent.get((kind, queue), 0))
