"""Cron-like chores on APScheduler: retention, and maintenance windows as scheduled pauses.

Only chores: APScheduler 3 stops a schedule silently when a job hangs, so the cycle is no business of its.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

from gradewatch.config import Settings, Window, parse_window
from gradewatch.errors import StoreError
from gradewatch.ports import Control, Upkeep

log = structlog.get_logger(__name__)

PURGE_EVERY = 3600.0  # seconds
PURGE_AFTER_START = 120.0
PURGE_BATCH = 10_000  # rows of one call; the store deletes them in small writes
TRY_AGAIN = 10.0  # seconds until a window that could not be entered is tried again
BY = "maintenance window"


class Chores:
    """Start it once in a running loop; stop it before the store closes."""

    def __init__(self, upkeep: Upkeep, control: Control, settings: Settings) -> None:
        self._upkeep, self._control, self._settings = upkeep, control, settings
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

    async def start(self) -> None:
        """Schedule all, and enter a window that opened before this process did."""
        # Soon after the start too: a process restarted more often than the interval would never purge.
        first = datetime.now(UTC) + timedelta(seconds=PURGE_AFTER_START)
        self._scheduler.add_job(self.purge, "interval", seconds=PURGE_EVERY, id="retention", next_run_time=first)
        for raw in self._settings.watch.maintenance:
            window = parse_window(raw)
            trigger = CronTrigger.from_crontab(window.cron, timezone=UTC)
            self._scheduler.add_job(self.pause, trigger, args=[window.seconds], id=f"maintenance {raw}")
            left = open_for(window, datetime.now(UTC))
            if left > 0:
                await self.pause(left)
        self._scheduler.start()

    def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def purge(self) -> None:
        """Delete all that is older than the retention says. A store that is away is met again in an hour."""
        keep, gone = self._settings.retention, 0
        try:
            went = PURGE_BATCH
            while went >= PURGE_BATCH:
                went = await self._upkeep.purge(finished_age=keep.finished, audit_age=keep.audit, limit=PURGE_BATCH)
                gone += went
        except StoreError as error:
            log.warning("retention put off", rows=gone, error=str(error))
            return
        if gone:
            log.info("retention done", rows=gone)

    async def pause(self, seconds: float) -> None:
        """Hold repairs for a maintenance window that stays open for so long; try until then while the store is away."""
        await self._enter(datetime.now(UTC) + timedelta(seconds=seconds))

    async def _enter(self, until: datetime) -> None:
        """A pause that lasts longer stays: the end of a window must not end what a person has paused."""
        left = (until - datetime.now(UTC)).total_seconds()
        if left <= 0:
            return
        try:
            facts = await self._control.control({})
            if facts.pause and (facts.pause.until is None or facts.pause.until >= facts.now + timedelta(seconds=left)):
                log.info("maintenance window: repairs are paused for longer already", by=facts.pause.by)
                return
            await self._control.pause(left, by=BY, reason="watch.maintenance")
        except StoreError as error:
            log.error("maintenance window not entered yet: repairs go on until it is", error=str(error))
            again = datetime.now(UTC) + timedelta(seconds=TRY_AGAIN)
            self._scheduler.add_job(self._enter, "date", run_date=again, args=[until])
            return
        log.info("maintenance window", seconds=round(left))


def open_for(window: Window, now: datetime) -> float:
    """Seconds for which `window` is still open at `now`, since it last opened; 0 when it is shut."""
    trigger = CronTrigger.from_crontab(window.cron, timezone=UTC)
    opened = None
    following = trigger.get_next_fire_time(None, now - timedelta(seconds=window.seconds))
    while following is not None and following <= now:
        opened, following = following, trigger.get_next_fire_time(following, now)
    return max(0.0, window.seconds - float((now - opened).total_seconds())) if opened else 0.0
