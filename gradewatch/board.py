"""The room between the cycle, which publishes, and the readers: metrics, API, server-sent events. In memory, bounded.

All of it belongs to one event loop; nothing here waits, so a slow reader can never hold up the cycle.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType

import structlog

from gradewatch.errors import GradewatchError
from gradewatch.model import Code, CycleReport

MAX_SUBSCRIBERS = 200
MAX_BACKLOG = 16  # reports kept for a slow subscriber before it loses the oldest
MAX_ALERTS = 200

log = structlog.get_logger(__name__)


class TooManySubscribers(GradewatchError):
    """The event stream is full: close another one, or try later."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A firing alert as Alertmanager told it, and the finding it is about, where it names one."""

    fingerprint: str
    name: str
    code: Code | None
    labels: Mapping[str, str]
    starts_at: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Lost:
    """Told to a subscriber that was too slow: so many of the oldest reports were dropped."""

    count: int


class Subscription:
    """The reports of one reader, from now on. Close it, or use it as a context manager."""

    def __init__(self, leave: Callable[[Subscription], None]) -> None:
        self._leave = leave
        self._backlog: deque[CycleReport] = deque()
        self._lost = 0
        self._news = asyncio.Event()
        self._closed = False

    def push(self, report: CycleReport) -> None:
        """Add a report; when the backlog is full the oldest goes."""
        if len(self._backlog) >= MAX_BACKLOG:
            self._backlog.popleft()
            self._lost += 1
        self._backlog.append(report)
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()
        self._leave(self)

    async def next(self) -> CycleReport | Lost | None:
        """Wait for the next report; Lost first when some were dropped; None once closed."""
        await self._news.wait()
        if self._closed:
            return None
        if self._lost:
            lost, self._lost = Lost(self._lost), 0
            return lost
        report = self._backlog.popleft()
        if not self._backlog:
            self._news.clear()
        return report

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> CycleReport | Lost:
        item = await self.next()
        if item is None:
            raise StopAsyncIteration
        return item

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Board:
    """What the process knows now. `mono` is the monotonic clock, in seconds."""

    def __init__(self, *, mono: Callable[[], float] = time.monotonic) -> None:
        self.mono = mono
        self.latest: CycleReport | None = None
        self.published_mono: float | None = None
        self.last_tick_mono = mono()  # being made counts as the first sign of life
        self._listeners: list[Callable[[CycleReport], None]] = []
        self._subscribers: set[Subscription] = set()
        self._wake: Callable[[str], None] | None = None
        self._alerts: OrderedDict[str, Alert] = OrderedDict()

    # ------------------------------------------------------------ the cycle's side

    def publish(self, report: CycleReport) -> None:
        """Make a report the latest and pass it on. A listener that fails is logged, and never stops the cycle."""
        self.latest, self.published_mono = report, self.mono()
        for listener in self._listeners:
            try:
                listener(report)
            except Exception:
                log.exception("a listener failed on a report", listener=repr(listener), cycle=report.number)
        for subscriber in self._subscribers:
            subscriber.push(report)

    def tick(self) -> None:
        """The loop's own life sign; /livez fails when it stops. Call it at least once a second, whatever else hangs."""
        self.last_tick_mono = self.mono()

    def on_wake(self, wake: Callable[[str], None]) -> None:
        """Register what starts a cycle early; it is given a reason for the log."""
        self._wake = wake

    # ------------------------------------------------------------ the readers' side

    def listen(self, listener: Callable[[CycleReport], None]) -> None:
        """Have `listener` called with every report, on the event loop; it must be quick. Twice is once."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def subscribe(self) -> Subscription:
        """Raises TooManySubscribers."""
        if len(self._subscribers) >= MAX_SUBSCRIBERS:
            raise TooManySubscribers(
                f"{MAX_SUBSCRIBERS} readers follow the events already, which is the most; "
                "close one, or ask GET /api/findings now and then"
            )
        subscription = Subscription(self._subscribers.discard)
        self._subscribers.add(subscription)
        return subscription

    def close_subscriptions(self) -> None:
        """End every event stream: the server is going down."""
        for subscriber in tuple(self._subscribers):
            subscriber.close()

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    def wake(self, reason: str) -> None:
        """Ask for an early cycle. Losing this costs latency, never correctness."""
        if self._wake is not None:
            self._wake(reason)

    # ------------------------------------------------------------ alerts

    def note_alert(self, alert: Alert, *, firing: bool) -> None:
        """Keep a firing alert (the oldest goes when there are too many), forget a resolved one."""
        self._alerts.pop(alert.fingerprint, None)
        if firing:
            self._alerts[alert.fingerprint] = alert
            if len(self._alerts) > MAX_ALERTS:
                self._alerts.popitem(last=False)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Firing alerts, oldest first."""
        return tuple(self._alerts.values())
