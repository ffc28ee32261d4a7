"""PURE. Times of one clock told in another's, where the records of a watch and the rows it watches lie apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import overload

from gradewatch.model import ControlFacts, Credit, JobRef, NotedRepair, Session


@overload
def later(when: datetime, by: timedelta) -> datetime: ...
@overload
def later(when: None, by: timedelta) -> None: ...
def later(when: datetime | None, by: timedelta) -> datetime | None:
    return None if when is None else when + by


def credit(span: Credit, by: timedelta) -> Credit:
    return replace(span, start=span.start + by, end=span.end + by)


def session(one: Session, by: timedelta) -> Session:
    if not by:
        return one
    return replace(one, started_at=one.started_at + by, beat_at=one.beat_at + by, ended_at=later(one.ended_at, by))


def noted(repair: NotedRepair, by: timedelta) -> NotedRepair:
    return replace(repair, at=repair.at + by, undone_at=later(repair.undone_at, by))


def ref(job: JobRef, by: timedelta) -> JobRef:
    """What the guard of a repair has seen stays as it is stored."""
    return replace(job, run_at=job.run_at + by, started_at=later(job.started_at, by)) if by else job


def control(facts: ControlFacts, by: timedelta) -> ControlFacts:
    if not by:
        return facts
    pause = facts.pause
    if pause is not None:
        pause = replace(pause, started_at=pause.started_at + by, until=later(pause.until, by))
    return replace(
        facts,
        now=facts.now + by,
        pause=pause,
        resumed_at=later(facts.resumed_at, by),
        credits=tuple(credit(span, by) for span in facts.credits),
        restarts=tuple(replace(record, at=record.at + by) for record in facts.restarts),
    )
