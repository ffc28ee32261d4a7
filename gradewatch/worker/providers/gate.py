"""The circuit breaker of one provider: shut while asking is useless, opened by whoever finds that it helps again.

No library fits: those for asyncio let a crowd try at half-open, or spend a paid request on each try. Here one request
at a time is the try, after a check that is free of charge. A request that the provider has failed goes again when
another one, sent later, was answered; it is the try itself only where no request waits that has not failed, and after a
rest. So, however the provider is out, five minutes cost a paper one call more where there are papers left to try with,
and two where there are none.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from gradewatch.worker.providers.faults import Kind, NotNow, ProviderFault
from gradewatch.worker.providers.waiting import Waiting, now

STREAK = 3  # failures in a row, whoever met them, that shut the gate
FIRST, LONGEST = 1.0, 60.0  # seconds it stays shut: doubled with each try that failed, and up to a quarter more
RESTS = (10.0, 300.0)  # seconds before a request that failed once, or more often, is the try itself
GRAIN = 0.001  # seconds: a loop's timers may go off a little early
PATIENCE = 10.0  # seconds that a caller with somewhere else to go waits
AT_ONCE = frozenset({Kind.CREDENTIAL, Kind.OUT_OF_QUOTA})

Check = Callable[[], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Asking:
    """One request, until it is answered: how often the provider failed it in this trouble, and until when it rests."""

    failures: int = 0
    rests_until: float = 0.0


class Gate:
    """`check` is free of charge, has its own deadline, and raises ProviderFault while the provider is no use."""

    def __init__(
        self,
        provider: str,
        check: Check,
        *,
        rng: random.Random,
        first: float = FIRST,
        longest: float = LONGEST,
        rests: tuple[float, float] = RESTS,
    ) -> None:
        self.provider = provider
        self.fault: ProviderFault | None = None  # the last one, until a success
        self.shut = False
        self._check, self._rng, self._first, self._longest, self._rests = check, rng, first, longest, rests
        self._until = 0.0  # by the loop's clock: nobody asks before that
        self._streak = 0
        self._rounds = 0
        self._order = itertools.count(1)  # of sendings and failures: two may have the same time
        self._sent: dict[Asking, int] = {}  # calls in flight
        self._answered = self._failed = 0  # the latest sent of those answered; the last failure
        self._waiting: list[Asking] = []  # in order of arrival
        self._trying: Asking | None = None
        self._changed = asyncio.Event()

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._until - now())

    @property
    def good(self) -> bool:
        """A call that was sent after the last failure was answered."""
        return self._answered >= self._failed

    def open_to(self, asking: Asking) -> bool:
        """May this request go without being the try? One that failed goes once the provider is proved good."""
        return not (self.shut or self.seconds_left) and (not asking.failures or self.good)

    @contextmanager
    def sending(self, asking: Asking) -> Iterator[None]:
        """The length of this context is the call; `succeeded` or `failed` is told within it."""
        if self.good:
            asking.failures = 0
        self._sent[asking] = next(self._order)
        try:
            yield
        finally:
            self._sent.pop(asking, None)
            self._change()

    def succeeded(self, asking: Asking) -> None:
        """What was sent before the last failure proves nothing of the time after it."""
        self._answered = max(self._answered, self._sent.pop(asking))
        if not self.good:
            return
        self._streak = self._rounds = 0
        if self.shut or not self.seconds_left:
            self.fault = None
        if self.shut:
            self.shut = False
            self._until = 0.0

    def failed(self, asking: Asking, fault: ProviderFault) -> None:
        """Of a kind that concerns every request. Failures of calls sent before the gate was shut count once."""
        self._note(fault)
        del self._sent[asking]
        asking.failures += 1
        rest, told = self._rests[min(asking.failures, 2) - 1], fault.retry_after
        asking.rests_until = now() + (rest if told is None else told if asking.failures == 1 else max(rest, told))
        if fault.kind is Kind.RATE_LIMITED:
            self._hold(fault.retry_after or 0.0)
            if not self._sent:  # refused though nobody else was asking: not for their number
                self.close()
            return
        self._streak += 1
        if self._streak >= STREAK or fault.kind in AT_ONCE:
            self.close()

    def close(self, *, again: bool = False) -> None:
        """Shut, or after a try that failed keep shut for longer."""
        if self.shut and not again:
            return
        self.shut = True
        self._rounds += 1
        least = min(self._longest, self._first * 2.0 ** min(self._rounds - 1, 16))
        said = (self.fault.retry_after or 0.0) if self.fault else 0.0
        self._hold(max(self._rng.uniform(least, least * 1.25), said))

    def why(self, asking: Asking) -> str:
        """What a person is told while the gate keeps this request waiting."""
        cause = self.fault or "it is being checked"
        if self.fault is not None and self.fault.kind in (Kind.RATE_LIMITED, Kind.OUT_OF_QUOTA):
            cause = self.fault.kind.value
        left = self.seconds_left or asking.rests_until - now()
        until = datetime.now().astimezone() + timedelta(seconds=left)
        return f"waiting for {self.provider}: {cause}" + (f" until {until:%H:%M:%S}" if left > 0 else "")

    async def check(self) -> None:
        """Find out, free of charge, whether asking again makes sense. Raises ProviderFault, with the gate shut."""
        try:
            await self._check()
        except ProviderFault as fault:
            self._note(fault)
            self.close(again=True)
            raise

    @asynccontextmanager
    async def passage(
        self, asking: Asking, waiting: Waiting, *, patient: bool, aside: Callable[[], None]
    ) -> AsyncIterator[bool]:
        """Wait until there is sense in asking. Gives True to the one request that is the try. Calls `aside` where this
        request has had its call, and the provider must be tried with others. Raises NotNow where the wait is longer
        than an impatient caller's patience."""
        while not self.open_to(asking):
            if self.shut and asking.failures:
                aside()
            if not patient and (self.shut or max(self.seconds_left, asking.rests_until - now()) > PATIENCE):
                await self._try_now_or_leave(asking)
            async with waiting.on(lambda: self.why(asking)):
                if not await self._my_turn(asking):
                    continue
            shut = self.shut
            try:
                yield True
            except ProviderFault:
                if shut and self.shut:
                    self.close(again=True)
                raise
            finally:
                self._give_turn_up()
            return
        yield False

    async def _try_now_or_leave(self, asking: Asking) -> None:
        """Somebody must find out that the provider is back, even where all callers have somewhere else to go."""
        if asking.failures or self.seconds_left or self._trying or not await self._checked():
            raise NotNow(str(self.fault or self.provider))

    async def _my_turn(self, asking: Asking) -> bool:
        """Wait for the turn, the time and a check that passes. False when the gate was opened meanwhile, or it was shut
        while this waited for others: then there is more to think about than the turn."""
        self._waiting.append(asking)
        passed, shut = False, self.shut
        try:
            while not self.open_to(asking) and self.shut is shut:
                if self._next() is not asking:
                    await self._rest(asking)
                    continue
                self._trying = asking
                if await self._checked():
                    passed = not self.open_to(asking)
                    return passed
                self._give_turn_up()
            return False
        finally:
            self._waiting.remove(asking)
            if self._trying is asking and not passed:
                self._give_turn_up()
            self._change()

    def _next(self) -> Asking | None:
        """Whose turn it is: of those who have rested the one that failed least, then the one that waits longest.
        Nobody's while a call is in flight that will tell."""
        if self._trying or self.seconds_left or any(sent > self._failed for sent in self._sent.values()):
            return None
        rested = [asking for asking in self._waiting if not asking.failures or asking.rests_until <= now()]
        return min(rested, key=lambda asking: asking.failures, default=None)

    def _give_turn_up(self) -> None:
        self._trying = None
        self._change()

    async def _checked(self) -> bool:
        try:
            await self.check()
        except ProviderFault:
            return False
        return True

    def _note(self, fault: ProviderFault) -> None:
        self.fault = fault
        self._failed = next(self._order)

    def _hold(self, seconds: float) -> None:
        self._until = max(self._until, now() + seconds)
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _rest(self, asking: Asking) -> None:
        """Until the time has come, or something has changed."""
        until = max(self._until, asking.rests_until if asking.failures else 0.0)
        try:
            async with asyncio.timeout_at(until + GRAIN if until > now() else None):
                await self._changed.wait()
        except TimeoutError:
            return
