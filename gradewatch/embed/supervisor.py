"""Keeps one worker alive inside an application: elected, started, started again after a crash, drained at the end."""

from __future__ import annotations

import asyncio
import random
import time

import structlog

from gradewatch.embed.seat import Seat
from gradewatch.embed.work import Ending, Work
from gradewatch.worker.backoff import full_jitter

log = structlog.get_logger(__name__)

BASE, CAP, FLOOR = 1.0, 60.0, 0.2  # seconds before a worker that crashed is started again
STEADY = 60.0  # a life longer than this makes up for the crashes before it
UNWIND = 2.0  # seconds a worker has to end once it is cancelled


class Supervisor:
    """`run` it once, as a task; set `stop` to have the worker drained. It never raises but for cancellation."""

    def __init__(self, work: Work, seat: Seat, *, rng: random.Random | None = None) -> None:
        self._work, self._seat, self._rng = work, seat, rng or random.Random()
        self._failures = 0
        self.running = False  # this process runs the worker now

    async def run(self, stop: asyncio.Event) -> None:
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            while not stop.is_set():
                await self._sit_and_work(stopping)
        finally:
            stopping.cancel()

    async def _sit_and_work(self, stopping: asyncio.Task[bool]) -> None:
        seating = asyncio.create_task(self._seat.taken(), name=f"seat of {self._work.name}")
        try:
            await asyncio.wait({seating, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not seating.done():
                return
            seating.result()
            losing = asyncio.create_task(self._seat.lost(), name=f"seat of {self._work.name}")
            try:
                while not stopping.done() and not losing.done():
                    await self._life(stopping, losing)
            finally:
                losing.cancel()
        except Exception:
            log.exception("embedded worker's election failed", worker=self._work.name, means="it is tried again")
            await asyncio.wait({stopping}, timeout=CAP / 4)
        finally:
            seating.cancel()
            await asyncio.wait({seating})
            await self._seat.leave()

    async def _life(self, stopping: asyncio.Task[bool], losing: asyncio.Task[None]) -> None:
        """One life, and the wait after it when it ended by itself."""
        ending, began = Ending(), time.monotonic()
        life = asyncio.create_task(self._work.live(ending), name=f"worker {self._work.name}")
        self.running = True
        log.info("embedded worker starts", worker=self._work.name)
        try:
            await asyncio.wait({life, stopping, losing}, return_when=asyncio.FIRST_COMPLETED)
            if not life.done():
                await self._end(life, ending, losing)
        finally:
            self.running = False
            if not life.done():
                life.cancel()
                await asyncio.wait({life}, timeout=UNWIND)
        if life.done() and not life.cancelled() and (error := life.exception()) is not None:
            await self._crashed(error, time.monotonic() - began, stopping, losing)

    async def _end(self, life: asyncio.Task[None], ending: Ending, losing: asyncio.Task[None]) -> None:
        patience = self._work.patience
        if losing.done():
            patience = min(patience, self._seat.margin / 2)
            log.warning("embedded worker stops: its lease is lost", worker=self._work.name, seconds=round(patience, 1))
            ending.cut.set()
        else:
            log.info("embedded worker drains", worker=self._work.name, seconds=round(patience, 1))
        ending.drain.set()
        await asyncio.wait({life, losing}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if not life.done():
            ending.cut.set()
            life.cancel()
            await asyncio.wait({life}, timeout=UNWIND)
        if not life.done():
            log.error("embedded worker does not end", worker=self._work.name, fix="let CancelledError through in it")

    async def _crashed(
        self, error: BaseException, lived: float, stopping: asyncio.Task[bool], losing: asyncio.Task[None]
    ) -> None:
        self._failures = 1 if lived > STEADY else self._failures + 1
        delay = full_jitter(self._failures, base=BASE, cap=CAP, rng=self._rng, floor=FLOOR)
        log.error(
            "embedded worker crashed",
            worker=self._work.name,
            lived=round(lived, 1),
            restart_in=round(delay, 1),
            in_a_row=self._failures,
            exc_info=error,
        )
        await asyncio.wait({stopping, losing}, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
