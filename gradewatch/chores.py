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
PURGE_BATCH = 1000  # rows of one delete
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
        self._scheduler.add_job(self.purge, "interval", seconds=PURGE_EVERY, id="retention")
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
        """Delete what is older than the retention says. A store that is away is met again in an hour."""
        keep = self._settings.retention
        try:
            rows = await self._upkeep.purge(finished_age=keep.finished, audit_age=keep.audit, limit=PURGE_BATCH)
        except StoreError as error:
            log.warning("retention put off", error=str(error))
            return
        if rows:
            log.info("retention done", rows=rows)

    async def pause(self, seconds: float) -> None:
        """Hold repairs for a maintenance window."""
        try:
            await self._control.pause(seconds, by=BY, reason="watch.maintenance")
        except StoreError as error:
            log.error("maintenance window not entered: repairs go on", error=str(error))
            return
        log.info("maintenance window", seconds=seconds)


def open_for(window: Window, now: datetime) -> float:
    """Seconds for which `window` is still open at `now`; 0 when it is shut."""
    since = now - timedelta(seconds=window.seconds)
    trigger = CronTrigger.from_crontab(window.cron, timezone=UTC)
    opened = trigger.get_next_fire_time(None, since)
    if opened is None or opened > now:
        return 0.0
    return float((opened - since).total_seconds())
