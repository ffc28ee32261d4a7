"""The worker's session: opened, proved by beats, ended by us or by the watch; and what the reply to a beat demands."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import structlog

from gradewatch.errors import StoreError
from gradewatch.model import BeatReply, NewSession
from gradewatch.ports import OpenStore, Sessions
from gradewatch.worker.heartbeat import Beat, Heartbeat, Pulse
from gradewatch.worker.observer import Observer
from gradewatch.worker.orphans import Orphans
from gradewatch.worker.outage import Outage
from gradewatch.worker.pool import Pool

log = structlog.get_logger(__name__)

SOURCE = "heartbeat"


class Membership:
    """Belongs to the event loop. `id` is None while there is no session.

    A worker whose beats do not get through for `timeout` seconds may have been given up by the watch: it claims
    nothing until one does. Its running jobs go on, because whatever they write is fenced.
    """

    def __init__(
        self,
        store: Sessions,
        open_store: OpenStore,
        new: NewSession,
        pool: Pool,
        outage: Outage,
        *,
        timeout: float,
        wake: Callable[[], None],
        observer: Observer,
        rng: random.Random,
    ) -> None:
        self.id: str | None = None
        self.orphans = Orphans()
        self.pulse = Pulse()
        self._store = store
        self._new = new
        self._pool = pool
        self._outage = outage
        self._timeout = timeout
        self._wake = wake
        self._observer = observer
        self._proved = 0.0
        self._holding = False
        self._lives = 0
        self._heartbeat = Heartbeat(
            open_store, timeout=timeout, pulse=self.pulse, busy=lambda: len(pool.slots), report=self.heard, rng=rng
        )

    async def open(self) -> str:
        """Open a session; it counts as a beat."""
        sent = time.monotonic()
        self.id = await self._store.open_session(self._new)
        self._proved = sent
        self._observer.on_session(True)
        self._heartbeat.beat_for(self.id)
        self.orphans.forget()
        new, self._lives = self._new, self._lives + 1
        event = "worker started" if self._lives == 1 else "session reopened"
        log.info(event, worker=new.name, session=self.id, queues=new.queues, slots=new.slots, pid=new.pid)
        return self.id

    async def end(self, reason: str) -> None:
        """End it for good. Whatever it still held is taken back by the watch."""
        session_id = self._leave()
        if session_id is not None:
            await self._store.end_session(session_id, reason)

    def fenced(self, session_id: str, why: str) -> None:
        """That session was ended by somebody else: all its jobs have been, or will be, given to others."""
        if session_id != self.id:
            return  # known already
        self._leave()
        jobs = [r for r in self._pool.slots if r.session_id == session_id]
        log.warning("session ended by the watch", session=session_id, why=why, jobs=len(jobs))
        for running in jobs:
            running.lose("the watch ended this worker's session")
        self._wake()

    def _leave(self) -> str | None:
        session_id, self.id = self.id, None
        self._heartbeat.beat_for(None)
        if session_id is not None:
            self._observer.on_session(False)
        return session_id

    def may_claim(self) -> bool:
        """False once no beat has got through for the heartbeat timeout."""
        silent = time.monotonic() - self._proved
        fresh = silent <= self._timeout
        if fresh == self._holding:
            self._holding = not fresh
            if fresh:
                log.info("claiming again", session=self.id)
            else:
                log.warning("claiming nothing", session=self.id, why=f"no beat got through for {silent:.1f} s")
        return fresh

    def heard(self, beat: Beat) -> None:
        """Act on what came of a beat."""
        if isinstance(beat.reply, StoreError):
            self._outage.failed(SOURCE, beat.reply)
            return
        self._outage.answered(SOURCE)
        if beat.session_id != self.id:
            return  # of a session that we have left since
        if not beat.reply.session_open:
            self.fenced(beat.session_id, "a beat was refused")
            return
        self._proved = beat.sent
        self._observer.on_beat()
        self._reconcile(beat.reply, beat.session_id, beat.sent)

    def _reconcile(self, reply: BeatReply, session_id: str, sent: float) -> None:
        for running in self._pool.slots.missing(reply.held, session_id, sent):
            running.lose("a beat found the claim no longer held: it was taken back, cancelled or expired")
        for claim in self.orphans.seen(c for c in reply.held if not self._pool.knows(c)):
            self._pool.give_back(claim)

    def keep_beating(self) -> None:
        """Start the heartbeat's thread, or another one where it has died."""
        self._heartbeat.revive()

    def fall_silent(self) -> None:
        """Beat no more, whatever went wrong: nobody may be told that a worker lives which has ended."""
        self._heartbeat.halt()

    async def stop_beating(self) -> None:
        await self._heartbeat.stop()
