"""What happened, newest first: findings that came and went, from memory; repairs and orders, from the audit trail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from gradewatch.http import wire
from gradewatch.http.page.words import short
from gradewatch.model import AuditEntry, Finding, Outcome

MOMENTS = 50  # shown
NAMED = 5  # subjects named of a group of repairs
UNDOABLE = frozenset({"expire", "requeue", "fail", "cancel"})

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Happening:
    """A finding that appeared, or went."""

    at: datetime
    finding: Finding
    gone: bool


def differences(before: Mapping[Key, Finding], now: Mapping[Key, Finding], at: datetime) -> Iterator[Happening]:
    yield from (Happening(at, finding, gone=True) for key, finding in before.items() if key not in now)
    yield from (Happening(at, finding, gone=False) for key, finding in now.items() if key not in before)


def moments(happenings: Sequence[Happening], entries: Sequence[AuditEntry]) -> list[dict[str, Any]]:
    """Both, merged by time. What one sweep did of one kind is one moment, however many jobs it moved."""
    told = [_of_finding(one) for one in happenings]
    for _, group in groupby(entries, key=lambda e: (e.sweep, e.action, e.outcome, e.queue)):
        told.append(_of_repairs(list(group)))
    return sorted(told, key=lambda moment: moment["at"], reverse=True)[:MOMENTS]


def _of_finding(one: Happening) -> dict[str, Any]:
    return {
        "kind": "cleared" if one.gone else "finding",
        "at": wire.stamp(one.at),
        "code": one.finding.code.value,
        "severity": one.finding.severity.value,
        "queue": short(one.finding.queue) if one.finding.queue else None,
        "subjects": [short(one.finding.subject)],
        "count": 1,
        "text": short(one.finding.summary),
    }


def _of_repairs(entries: Sequence[AuditEntry]) -> dict[str, Any]:
    newest = entries[0]
    undone = sum(entry.undone_at is not None for entry in entries)
    applied = newest.outcome is Outcome.APPLIED
    return {
        "kind": "repair",
        "at": wire.stamp(newest.at),
        "code": newest.reason,
        "queue": short(newest.queue) if newest.queue else None,
        "subjects": [short(entry.subject) for entry in entries[:NAMED]],
        "count": len(entries),
        "text": short(newest.message),
        "action": newest.action,
        "outcome": newest.outcome.value,
        "by": short(newest.by),
        "sweep": newest.sweep,
        "verified": newest.verified,
        "undone": undone,
        "can_undo": applied and newest.action in UNDOABLE and undone < len(entries),
    }
