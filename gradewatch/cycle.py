"""One cycle, one direction: observe, diagnose, decide, limit, act, publish; and the loop that repeats it.

Decisions come from state, never from events: an event only wakes the cycle, and losing all of them costs latency.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog

from gradewatch.board import Board
from gradewatch.config import Settings
from gradewatch.decide import decide
from gradewatch.diagnose import diagnose
from gradewatch.errors import LeaseLost, StoreError
from gradewatch.history import budget_left
from gradewatch.limits import rule
from gradewatch.model import ActionKind, Credit, CycleReport, Diagnosis, Known, Outcome, Result, Snapshot
from gradewatch.ports import Clock
from gradewatch.probes.observer import Observer
from gradewatch.remediation.lease import ActingLease
from gradewatch.remediation.remedies import Remedies
from gradewatch.rescue import decide_rescues, relieved
from gradewatch.schedule import next_wake

log = structlog.get_logger(__name__)

MOST_TOLD = 10  # repairs of one kind and outcome that one cycle logs by name
COALESCE = 0.02  # seconds: events that come together wake one cycle


class Cycle:
    """The watch's heart. `run_once` never raises but for cancellation; its report says what failed."""

    def __init__(
        self, observer: Observer, remedies: Remedies, lease: ActingLease, board: Board, settings: Settings, clock: Clock
    ) -> None:
        self._observer, self._remedies, self._lease = observer, remedies, lease
        self._board, self._settings, self._clock = board, settings, clock
        self._awake = asyncio.Event()
        self._number = 0
        self._began_mono = clock.mono()
        self._findings: set[tuple[str, str]] = set()
        self._owed: list[Credit] = []  # seen, and not yet written to the store

    def wake(self, reason: str = "") -> None:
        """Run the next cycle now. Safe to call from a callback in the loop."""
        log.debug("cycle woken", reason=reason)
        self._awake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Repeat until `stop` is set; then let the lease go. Each wait is monotonic and ends early on a wake."""
        stopping = asyncio.create_task(stop.wait(), name="cycle-stop")
        try:
            while not stop.is_set():
                report = await self.run_once()
                await self._rest(self._pause_after(report), stopping)
        finally:
            stopping.cancel()
            await self._lease.release()

    def _pause_after(self, report: CycleReport) -> float:
        if report.more:
            return 0.0
        due = report.next_wake if report.next_wake is not None else self._settings.watch.interval
        return max(0.0, min(self._settings.watch.interval, due) - (0.0 if report.next_wake else report.seconds))

    async def _rest(self, seconds: float, stopping: asyncio.Task[bool]) -> None:
        waking = asyncio.create_task(self._awake.wait(), name="cycle-wake")
        try:
            await asyncio.wait({waking, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if waking.done():
                await asyncio.sleep(COALESCE)
        finally:
            waking.cancel()
            self._awake.clear()

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last cycle began: grows without bound when one hangs."""
        return self._clock.mono() - self._began_mono

    async def run_single(self, *, acting: bool) -> CycleReport:
        """One cycle and no more; the lease is given back. Without `acting` nothing is changed."""
        try:
            return await self.run_once(acting=acting)
        finally:
            await self._lease.release()

    async def run_once(self, *, acting: bool = True) -> CycleReport:
        self._number += 1
        self._began_mono = self._clock.mono()
        began, wall = time.perf_counter(), self._clock.wall()
        sweep = f"{wall:%Y%m%dT%H%M%S}-{secrets.token_hex(2)}"
        # Before looking: a store that can be read and not written is away, too.
        await (self._lease.keep() if acting else self._lease.try_write())
        observation = await self._observer.observe(self._lease.store_refused, tuple(self._owed))
        snapshot = observation.snapshot
        await asyncio.sleep(0)  # between the stages others get their turn: a large fleet takes milliseconds in each
        diagnosis = diagnose(snapshot, self._settings, observation.verdicts)
        await asyncio.sleep(0)
        self._owed += observation.credits
        leader = acting and isinstance(snapshot.store, Known) and await self._lease.keep()
        results: list[Result] = []
        if acting and not leader and self._lease.refused is None:
            self._remedies.step_down()
        if leader or (acting and self._owed):
            await self._remedy(snapshot, diagnosis, sweep, results)
        report = self._report(
            sweep, snapshot, diagnosis, results, leader, time.perf_counter() - began, observation.seconds
        )
        self._tell(diagnosis, results, sweep)
        self._board.publish(report)
        return report

    async def _remedy(self, snapshot: Snapshot, diagnosis: Diagnosis, sweep: str, results: list[Result]) -> None:
        """Credits are written by any watch, at the first chance: acting without them would blame jobs for an outage."""
        try:
            while self._owed:
                await self._remedies.credit(self._owed[0])
                self._owed.pop(0)
            if not self._lease.held:
                return
            if not snapshot.observe_only:
                await self._remedies.judge_restarts(snapshot)
            await self._remedies.relieve(relieved(snapshot, diagnosis), sweep=sweep)
            actions = decide(snapshot, diagnosis, self._settings)
            actions += decide_rescues(snapshot, diagnosis, self._settings)
            rulings = rule(actions, snapshot, self._settings)
            await self._remedies.act(
                snapshot, diagnosis, rulings, sweep=sweep, may_act=lambda: self._lease.held, done=results
            )
        except (StoreError, LeaseLost) as error:
            log.error("repairs cut short; the next cycle decides anew", error=str(error), done=len(results))

    def _report(
        self,
        sweep: str,
        snapshot: Snapshot,
        diagnosis: Diagnosis,
        results: Sequence[Result],
        leader: bool,
        seconds: float,
        probe_seconds: Mapping[str, float],
    ) -> CycleReport:
        cut = any(isinstance(q, Known) and q.value.truncated for q in snapshot.queues.values())
        applied = [r for r in results if r.outcome is Outcome.APPLIED]
        return CycleReport(
            number=self._number,
            sweep=sweep,
            snapshot=snapshot,
            diagnosis=diagnosis,
            results=tuple(results),
            leader=leader,
            seconds=seconds,
            wall=self._clock.wall(),
            budget_remaining=self._budgets(snapshot),
            more=cut and bool(applied) and len(applied) == len(results),
            next_wake=next_wake(snapshot, self._settings),
            probe_seconds=probe_seconds,
        )

    def _budgets(self, snapshot: Snapshot) -> dict[str, float]:
        if not isinstance(snapshot.control, Known):
            return {}
        control = snapshot.control.value
        return {
            kind.value: min((budget_left(kind, q, budget.count, control) for q in self._settings.queues), default=0)
            for kind, budget in self._settings.remediation.budget.items()
        }

    def _tell(self, diagnosis: Diagnosis, results: Sequence[Result], sweep: str) -> None:
        """Log each finding when it appears and when it goes, and each repair."""
        now = {(f.code.value, f.subject): f for f in diagnosis.findings}
        for key, finding in now.items():
            if key in self._findings:
                continue
            log.warning("finding", code=key[0], subject=key[1], summary=finding.summary, fix=finding.fix)
        for code, subject in sorted(self._findings - now.keys()):
            log.info("finding gone", code=code, subject=subject)
        self._findings = set(now)
        self._tell_repairs(results, sweep)

    @staticmethod
    def _tell_repairs(results: Sequence[Result], sweep: str) -> None:
        """Each repair by name while they are few; a mass of them as one line: the audit trail has every one."""
        done: defaultdict[tuple[ActionKind, Outcome], list[Result]] = defaultdict(list)
        for result in results:
            done[result.action.kind, result.outcome].append(result)
        for (action, outcome), some in done.items():
            if outcome not in (Outcome.APPLIED, Outcome.FAILED):
                continue
            for result in some[:MOST_TOLD]:
                why = result.action.message
                log.warning(
                    "repair",
                    action=action.value,
                    outcome=outcome.value,
                    subject=result.action.subject,
                    why=why,
                    sweep=sweep,
                )
            if len(some) > MOST_TOLD:
                more = len(some) - MOST_TOLD
                log.warning(
                    "repairs",
                    action=action.value,
                    outcome=outcome.value,
                    more=more,
                    sweep=sweep,
                    see="gradewatch audit",
                )
