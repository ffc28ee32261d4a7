"""Rows of another application, as the pure tests of the mapping say them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from builders import NOW, ago

from gradewatch.config.foreign import PRESETS, ForeignSettings
from gradewatch.model import Action, ActionKind, Code, NotedRepair, RowNote
from gradewatch.stores.mapping.row import ForeignJob, read_row
from gradewatch.stores.mapping.writes import kept

TASKS, GRADING, JOBS = (PRESETS[name].settings for name in ("mongo-tasks", "mongo-grading-jobs", "supabase-jobs"))
PROGRESS = replace(TASKS, fields=replace(TASKS.fields, progress_done="done", progress_total="total"))


def task(status: Any = "pending", **fields: Any) -> dict[str, Any]:
    return {"task_id": "t1", "type": "grade", "status": status, "created_at": ago(400), **fields}


def running(**fields: Any) -> dict[str, Any]:
    return task(**({"status": "processing", "started_at": ago(300)} | fields))


def read(row: dict[str, Any], by: ForeignSettings = TASKS) -> ForeignJob:
    return read_row(by, row, NOW)


def action(kind: ActionKind = ActionKind.EXPIRE) -> Action:
    return Action(kind, "tasks", Code.JOB_TIMED_OUT, "late", target="t1")


def repair(
    action: str, after: dict[str, Any], *, age: float = 60.0, subject: str = "t1", undone: bool = False, id: int = 1
) -> NotedRepair:
    before = kept({"status": "processing", "started_at": ago(300)})
    note = RowNote(action, "tasks", subject, "worker_not_running", "lost", before, after)
    return NotedRepair(id, "s1", ago(age), note, NOW - timedelta(seconds=1) if undone else None)
