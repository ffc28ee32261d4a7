"""Everything the page shows, as one JSON object: composed once a cycle for however many readers."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from gradewatch.board import Board
from gradewatch.config import Settings
from gradewatch.errors import StoreError
from gradewatch.http import wire
from gradewatch.http.page import rows
from gradewatch.http.page.headline import headline
from gradewatch.http.page.lookup import Lookup, job_line, look_up
from gradewatch.http.page.memory import Memory
from gradewatch.http.page.timeline import moments
from gradewatch.http.page.words import short
from gradewatch.http.shared import Shared
from gradewatch.http.status import stale_after
from gradewatch.model import CycleReport, Finding, Job, JobState, Known
from gradewatch.ports import Store
from gradewatch.version import __version__

log = structlog.get_logger(__name__)

TTL = 1.0  # seconds an answer of the store is shown
PATIENCE = 0.15  # seconds that a page waits for the store before it shows what is known without it
FINDINGS = 50  # shown, the gravest first
EVIDENCE = 10
ZIP_LEVEL = 5  # a tenth of the size; higher levels cost more and save little


@dataclass(frozen=True, slots=True)
class Answer:
    """JSON, plain and compressed, and what of it the server itself writes into the page."""

    plain: bytes
    zipped: bytes
    health: Mapping[str, str]


class Overview:
    """Made of the board, the page's memory and the store; a store that is away only makes it poorer."""

    def __init__(self, board: Board, store: Store, settings: Settings) -> None:
        self.memory = Memory()
        self._board, self._settings = board, settings
        self._lookup = Shared(lambda: look_up(store), ttl=TTL, deadline=settings.store.timeout + 1.0)
        self._last, self._failed = Lookup(), "the store has not been asked yet"
        self._answered = False
        self._key: tuple[object, ...] = ()
        self._made: asyncio.Task[Answer] | None = None
        board.listen(self._note)

    @property
    def age(self) -> float:
        """Seconds since the latest cycle was published; 0 before the first."""
        published = self._board.published_mono
        return self._board.mono() - published if published is not None else 0.0

    async def get(self, *, at_once: bool = False) -> Answer:
        """The same answer for everybody until a cycle, or the store, has something new. `at_once`: with what the store
        said last, where it has said anything; it is asked meanwhile, for whoever comes next."""
        last, failed = await self._look(at_once)
        stale = self.age > stale_after(self._settings)
        key = (self._board.latest, last, failed, stale and int(self.age))
        if self._made is None or not _same(key, self._key):
            self._key, self._made = key, asyncio.create_task(self._make(last, failed))
        return await asyncio.shield(self._made)

    async def workers(self, match: str, limit: int) -> dict[str, Any]:
        last, _ = await self._look(at_once=False)
        return rows.workers(self.memory, last.running, self._mono(), match=match, limit=limit)

    def forget(self) -> None:
        """Somebody changed something: ask the store anew."""
        self._lookup.forget()

    async def close(self) -> None:
        await self._lookup.close()

    def _note(self, report: CycleReport) -> None:
        self.memory.note(report)
        self._lookup.forget()

    def _mono(self) -> float:
        return self._board.latest.snapshot.mono if self._board.latest else 0.0

    async def _look(self, at_once: bool) -> tuple[Lookup, str]:
        """What the store says within PATIENCE; else what it said last, and why it says nothing."""
        asking = asyncio.ensure_future(self._lookup.get())
        asking.add_done_callback(self._keep)
        if not (at_once and self._answered):
            await asyncio.wait([asking], timeout=PATIENCE)
        return self._last, self._failed

    def _keep(self, asked: asyncio.Future[Lookup]) -> None:
        if asked.cancelled():
            return
        error = asked.exception()
        if error is None:
            self._last, self._failed, self._answered = asked.result(), "", True
        elif isinstance(error, StoreError):
            self._failed = short(str(error))
        else:
            log.error("the page's look into the store failed by our own fault", exc_info=error)
            self._failed = "Gradewatch failed to read it; its log has the reason"

    async def _make(self, lookup: Lookup, failed: str) -> Answer:
        composed = self._compose(lookup, failed)
        plain = wire.encode(composed)
        return Answer(plain, await asyncio.to_thread(gzip.compress, plain, ZIP_LEVEL), composed["health"])

    def _compose(self, lookup: Lookup, failed: str) -> dict[str, Any]:
        report, memory, settings = self._board.latest, self.memory, self._settings
        queues = rows.queue_rows(report, memory, settings)
        return {
            "version": __version__,
            "cycle": report.number if report else None,
            "at": wire.stamp(report.wall) if report else None,
            "interval": settings.watch.interval,
            "stale_after": stale_after(settings),
            "health": headline(report, self.age, settings).wire(),
            "watch": _watch(report, settings),
            "store": _store(memory),
            "findings": [_finding(one) for one in report.diagnosis.findings[:FINDINGS]] if report else [],
            "findings_total": len(report.diagnosis.findings) if report else 0,
            "queues": queues,
            "queues_total": len(settings.queues),
            "workers": rows.workers(memory, lookup.running, self._mono()),
            "jobs": [job_line(job) for job in _running_first(lookup.newest)],
            "lookup_failed": failed,
            "timeline": moments(memory.happenings, lookup.audit),
        }


def _same(one: Sequence[object], other: Sequence[object]) -> bool:
    """By identity where it is a large value: comparing two reports would take longer than composing one."""
    return len(one) == len(other) and all(
        a is b or (isinstance(a, str | int) and a == b) for a, b in zip(one, other, strict=True)
    )


def _running_first(jobs: Sequence[Job]) -> list[Job]:
    return sorted(jobs, key=lambda job: (job.state is not JobState.RUNNING, job.state.finished))


def _store(memory: Memory) -> dict[str, Any]:
    away = memory.away
    return {
        "kind": memory.store_kind,
        "reachable": away is None,
        "since": wire.stamp(away.since) if away else None,
        "reason": short(away.reason) if away else "",
    }


def _watch(report: CycleReport | None, settings: Settings) -> dict[str, Any]:
    control = report.snapshot.control if report else None
    pause = control.value.pause if isinstance(control, Known) else None
    return {
        "leader": report.leader if report else False,
        "mode": settings.remediation.mode,
        "writes": bool(settings.http.token),
        "pause": {
            "by": short(pause.by),
            "reason": short(pause.reason),
            "started_at": wire.stamp(pause.started_at),
            "until": wire.stamp(pause.until),
        }
        if pause
        else None,
    }


def _finding(found: Finding) -> dict[str, Any]:
    told = wire.finding(found)
    cut = {name: short(told[name]) for name in ("subject", "summary", "command")}
    fix, queue = short(found.fix, 1000), short(found.queue) if found.queue else None
    evidence = [short(line) for line in found.evidence[:EVIDENCE]]
    return {**told, **cut, "fix": fix, "queue": queue, "evidence": evidence}
