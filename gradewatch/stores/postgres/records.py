"""What a watch leaves on record, and what it must remember: the audit trail and its undo, pauses, credits, budgets,
leases; and how old any of it may become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gradewatch.errors import Conflict
from gradewatch.model import Action, ActionKind, AuditEntry, ControlFacts, Credit, LeaseGrant, Outcome, Pause
from gradewatch.stores.postgres import encode, rows

if TYPE_CHECKING:
    from gradewatch.stores.postgres.caller import Caller

CHUNK = 250  # rows undone or purged in one statement: some 20 ms


class Records:
    """The ports AuditLog, Control, Leases and Upkeep."""

    _caller: Caller

    # ---------------------------------------------------------------- AuditLog

    async def record(self, action: Action, outcome: Outcome, *, sweep: str, by: str, detail: str = "") -> int:
        entry = {
            "sweep": sweep,
            "by": by,
            "action": action.kind.value,
            "queue": action.queue,
            "subject": action.subject,
            "outcome": outcome.value,
            "reason": action.reason.value,
            "message": f"{action.message} ({detail})" if detail else action.message,
        }
        words = encode.dump({name: encode.text(word) for name, word in entry.items()})
        made: int = await self._caller.call("record", entry=words)
        return made

    async def amend(self, audit_id: int, *, outcome: Outcome | None = None, verified: bool | None = None) -> None:
        """Conflict: there is no such entry (any more)."""
        word = None if outcome is None else outcome.value
        if not await self._caller.call("amend", entry=audit_id, new_outcome=word, new_verified=verified):
            raise Conflict(f"There is no audit entry {audit_id}: it may have been purged.")

    async def audit(
        self, *, limit: int = 100, sweep: str | None = None, subject: str | None = None, before: int | None = None
    ) -> list[AuditEntry]:
        end = None if before is None else max(0, min(before, encode.LARGEST))
        found = await self._caller.call(
            "list_audit", most=encode.page(limit), of_sweep=sweep, of_subject=subject, before_id=end
        )
        return [rows.audit_entry(row) for row in found]

    async def undo(self, sweep: str, *, by: str) -> list[tuple[AuditEntry, bool]]:
        undone: list[tuple[AuditEntry, bool]] = []
        while True:
            end = undone[-1][0].id if undone else encode.LARGEST
            chunk = await self._caller.call("undo", of_sweep=sweep, by_whom=by, before_id=end, most=CHUNK)
            undone += [(rows.audit_entry(one["entry"]), one["done"]) for one in chunk]
            if len(chunk) < CHUNK:
                return undone

    # ---------------------------------------------------------------- Control and Leases

    async def control(self, windows: Mapping[ActionKind, float]) -> ControlFacts:
        spans = encode.dump({action.value: encode.micros(window) for action, window in windows.items()})
        return rows.control(await self._caller.call("control", windows=spans))

    async def pause(self, seconds: float | None, *, by: str, reason: str = "") -> Pause:
        length = None if seconds is None else encode.micros(seconds)
        return rows.pause(await self._caller.call("pause", length=length, by_whom=by, why=reason))

    async def resume(self, *, by: str) -> bool:
        ended: bool = await self._caller.call("resume", by_whom=by)
        return ended

    async def add_credit(self, credit: Credit) -> None:
        await self._caller.call(
            "add_credit", of_kind=credit.kind, from_time=credit.start.isoformat(), to_time=credit.end.isoformat()
        )

    async def acquire(self, name: str, holder: str, ttl: float) -> LeaseGrant | None:
        term = await self._caller.call("acquire", lease=name, by_holder=holder, length=encode.micros(ttl))
        return None if term is None else LeaseGrant(name, holder, term, ttl)

    async def release(self, name: str, holder: str) -> None:
        await self._caller.call("release", lease=name, by_holder=holder)

    # ---------------------------------------------------------------- Upkeep

    async def purge(self, *, finished_age: float, audit_age: float, limit: int) -> int:
        """At most `limit` rows a call, in small statements; then the paper files that no job refers to any more."""
        ages = {"jobs": finished_age, "sessions": finished_age, "audit": audit_age}
        ages |= dict.fromkeys(("pages", "spending"), finished_age)
        gone = 0
        for what, age in ages.items():
            gone += await self._purge_kind(what, age, limit - gone)
        await self._caller.call("purge_credits")
        while await self._purge_files(CHUNK):
            pass
        return gone

    async def _purge_files(self, most: int) -> int:
        """Delete paper files that no job refers to any more; how many went."""
        gone: int = await self._caller.call("purge_files", most=most)
        return gone

    async def _purge_kind(self, what: str, age: float, limit: int) -> int:
        gone = 0
        while gone < limit:
            size = min(CHUNK, limit - gone)
            went: int = await self._caller.call("purge", what=what, age=encode.micros(age), most=size)
            gone += went
            if went < size:
                break
        return gone
