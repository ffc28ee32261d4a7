"""PURE. What a repair writes to a row of another application, under which guard, and what would put it back."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from gradewatch.config.foreign import CODE, ERROR, NOW, ForeignSettings
from gradewatch.model import Action, ActionKind, RowNote
from gradewatch.stores.mapping.row import value
from gradewatch.stores.mapping.table import Row, Write
from gradewatch.stores.mapping.times import Unreadable, read_time, time_like

VERB_OF = {ActionKind.EXPIRE: "expire", ActionKind.REQUEUE: "requeue", ActionKind.FAIL: "fail"}
_TIME, _OTHER = "$time", "$other"  # how values that JSON does not know are kept in a note


def change(
    settings: ForeignSettings,
    verb: str,
    row: Row,
    columns: Collection[str] | None,
    *,
    now: datetime,
    code: str,
    error: str,
    anew: bool = False,
) -> dict[str, Any]:
    """The fields to set, for one of VERBS. Only fields that the table has; where rows may have
    any, a counter of attempts is raised only where the row has one. A time is written in the form the row has its
    others in."""
    fields, words = settings.fields, settings.words
    sample = next((v for name in fields.times if (v := value(row, name)) is not None), None)
    stamp = time_like(sample, now)
    if verb == "requeue":
        values = _requeued(settings, row, anew)
    else:
        word = (words.cancelled or words.failed if verb == "cancel" else words.failed)[0]
        values = {fields.state: word}
        if fields.finished and (name := _existing(fields.finished, columns)):
            values[name] = time_like(value(row, name), now) if value(row, name) is not None else stamp
        if fields.error:
            values[fields.error] = error
        if fields.errors and isinstance(found := value(row, fields.errors), list | tuple | None):
            values[fields.errors] = [*_listed(found), error]
    stand_ins = {NOW: stamp, ERROR: error, CODE: code}
    for name, given in settings.write.get(verb, {}).items():
        values[name] = stand_ins.get(given, given) if isinstance(given, str) else given
    return _within(values, columns)


def _requeued(settings: ForeignSettings, row: Row, anew: bool) -> dict[str, Any]:
    """Back to waiting: whatever a claim, or its end, has set is taken off. Progress stays: it is
    the worker's, who may go on from it. `anew`: a person asked for it, and gives all attempts back."""
    fields = settings.fields
    beats = (name for name in fields.heartbeat if name not in fields.created)
    marks = (*fields.started, *fields.worker, *beats, *fields.finished, *([fields.error] if fields.error else []))
    values: dict[str, Any] = {name: None for name in marks if value(row, name) is not None}
    values[fields.state] = settings.words.pending[0]
    attempts = value(row, fields.attempts)
    if isinstance(attempts, int | float) and not isinstance(attempts, bool) and (anew or settings.charge_attempts):
        values[fields.attempts] = 0 if anew else attempts + 1
    return values


def _existing(candidates: Collection[str], columns: Collection[str] | None) -> str:
    if columns is None:
        return next(iter(candidates))
    return next((name for name in candidates if name in columns), "")


def _within(values: Mapping[str, Any], columns: Collection[str] | None) -> dict[str, Any]:
    return {name: v for name, v in values.items() if columns is None or name.partition(".")[0] in columns}


def write_of(guard: Row, values: Row, columns: Collection[str] | None) -> Write:
    """The guarded write. Fields that the table does not have guard nothing."""
    return Write(_within(dict(guard), columns), values)


def note(action: Action, verb: str, row: Row, values: Row) -> RowNote:
    """For the audit trail: the touched fields before and after."""
    return RowNote(
        action=verb,
        queue=action.queue,
        subject=action.subject,
        reason=action.reason.value,
        message=action.message,
        before=kept({name: value(row, name) for name in values}),
        after=kept(values),
    )


def _listed(found: object) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else []


def kept(values: Row) -> dict[str, Any]:
    """As JSON holds it, and `restored` gives back with its types."""
    return {name: _kept(found) for name, found in values.items()}


def _kept(found: Any) -> Any:
    if isinstance(found, datetime):
        return {_TIME: found.isoformat()}
    if found is None or isinstance(found, bool | int):
        return found
    if isinstance(found, float):
        return found if math.isfinite(found) else {_OTHER: str(found)}
    if isinstance(found, str):
        clean = found.encode("utf-8", "replace").decode().replace("\x00", "?")
        return found if clean == found else {_OTHER: clean}
    if isinstance(found, list | tuple):
        return [_kept(one) for one in found]
    if isinstance(found, dict):
        return {str(name): _kept(one) for name, one in found.items()}
    return {_OTHER: str(found)}


def restored(values: Row) -> dict[str, Any]:
    return {name: _restored(found) for name, found in values.items()}


def _restored(found: Any) -> Any:
    if isinstance(found, list):
        return [_restored(one) for one in found]
    if isinstance(found, dict):
        if found.keys() == {_TIME}:
            return datetime.fromisoformat(found[_TIME])
        return {name: _restored(one) for name, one in found.items()}
    return found


def restorable(before: Row) -> bool:
    """Can these values be written back as they were? One of a type we keep only as text cannot."""
    return not any(map(_cut, before.values()))


def _cut(found: Any) -> bool:
    if isinstance(found, dict):
        return _OTHER in found or any(map(_cut, found.values()))
    return isinstance(found, list) and any(map(_cut, found))


def same(stored: Any, written: Any) -> bool:
    """Is what is stored what was written? Times are compared as times, to the millisecond a store may keep."""
    if stored == written:
        return True
    if not isinstance(stored, datetime | str) or not isinstance(written, datetime | str):
        return False
    try:
        one, other = read_time(stored), read_time(written)
    except Unreadable:
        return False
    return one is not None and other is not None and abs((one - other).total_seconds()) < 0.001
