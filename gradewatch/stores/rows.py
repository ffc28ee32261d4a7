"""What the stores' rows have in common: the same fields by name, made into values of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gradewatch.model import AuditEntry, Job, JobError, JobState, Outcome, PaperResult, Pause, RestartRecord, Session

Row = Mapping[str, Any]
STATES = {state.value: state for state in JobState}


def error_of(code: str | None, message: str | None) -> JobError | None:
    return None if code is None else JobError(code, message or "")


@dataclass(frozen=True, slots=True)
class Reader:
    """Of one store, which keeps times and JSON in its own way. `when` reads a time; `decoded` what was kept as JSON;
    `before` the row of a job as the audit trail keeps it. `id` is the name of a row's key."""

    when: Callable[[Any], datetime]
    decoded: Callable[[Any], Any]
    before: Callable[[Any], dict[str, Any]]
    id: str = "id"

    def maybe(self, value: Any) -> datetime | None:
        return None if value is None else self.when(value)

    def job(self, row: Row) -> Job:
        return Job(
            id=row[self.id],
            queue=row["queue"],
            kind=row["kind"],
            state=STATES[row["state"]],
            priority=row["priority"],
            attempt=row["attempt"],
            max_attempts=row["max_attempts"],
            lost=row["lost"],
            token=row["token"],
            run_alone=row["run_alone"],
            session_id=row["session_id"],
            created_at=self.when(row["created_at"]),
            run_at=self.when(row["run_at"]),
            started_at=self.maybe(row["started_at"]),
            finished_at=self.maybe(row["finished_at"]),
            updated_at=self.when(row["updated_at"]),
            progress_done=row["progress_done"],
            progress_total=row["progress_total"],
            status_message=row["status_message"],
            payload=self.decoded(row["payload"]),
            result=None if row["result"] is None else self.decoded(row["result"]),
            error=error_of(row["error_code"], row["error_message"]),
        )

    def paper(self, row: Row) -> PaperResult:
        return PaperResult(
            index=row["idx"],
            name=row["name"],
            status=row["status"],
            marks=None if row["marks"] is None else float(row["marks"]),
            max_marks=float(row["max_marks"]),
            detail=self.decoded(row["detail"]),
            error=error_of(row["error_code"], row["error_message"]),
            times_written=row["times_written"],
        )

    def session(self, row: Row) -> Session:
        return Session(
            id=row[self.id],
            name=row["name"],
            queues=tuple(row["queues"]),
            slots=row["slots"],
            busy=row["busy"],
            host=row["host"],
            pid=row["pid"],
            version=row["version"],
            target=row["target"],
            incarnation=row["incarnation"],
            http=row["http"],
            started_at=self.when(row["started_at"]),
            beat_at=self.when(row["beat_at"]),
            beats=row["beats"],
            loop_age=float(row["loop_age"]),
            ended_at=self.maybe(row["ended_at"]),
            end_reason=row["end_reason"],
        )

    def audit_entry(self, row: Row) -> AuditEntry:
        return AuditEntry(
            id=row[self.id],
            sweep=row["sweep"],
            at=self.when(row["at"]),
            by=row["by"],
            action=row["action"],
            queue=row["queue"],
            subject=row["subject"],
            outcome=Outcome(row["outcome"]),
            reason=row["reason"],
            message=row["message"],
            before=None if row["before"] is None else self.before(row["before"]),
            verified=None if row["verified"] is None else bool(row["verified"]),
            undone_at=self.maybe(row["undone_at"]),
        )

    def restarts(self, rows: Iterable[Row]) -> tuple[RestartRecord, ...]:
        """Oldest first, as they were recorded: a step of the clock does not change that."""
        return tuple(sorted(map(self._restart, rows), key=lambda record: record.audit_id))

    def _restart(self, row: Row) -> RestartRecord:
        return RestartRecord(
            audit_id=row[self.id],
            target=row["subject"],
            queue=row["queue"],
            at=self.when(row["at"]),
            outcome=Outcome(row["outcome"]),
            verified=None if row["verified"] is None else bool(row["verified"]),
        )

    def pause(self, row: Row) -> Pause:
        return Pause(
            started_at=self.when(row["started_at"]),
            until=self.maybe(row["until"]),
            by=row["by"],
            reason=row["reason"],
        )
