"""The circuit breaker of one provider: shut while asking is useless, opened by whoever finds that it helps again.

No library fits: those for asyncio let a crowd try at half-open, or spend a paid request on each try. Here one caller at
a time makes sure by a free check first, then by its own request, and each try is another caller's, so that a long
outage costs no paper more than it must.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from gradewatch.worker.providers.faults import Kind, NotNow, ProviderFault
from gradewatch.worker.providers.waiting import Waiting

STREAK = 3  # failures in a row, whoever met them, that shut the gate
FIRST, LONGEST = 1.0, 60.0  # seconds it stays shut: doubled with each try that failed, and spread
PATIENCE = 10.0  # seconds that a caller with somewhere else to go waits
AT_ONCE = frozenset({Kind.CREDENTIAL, Kind.OUT_OF_QUOTA})

Check = Callable[[], Awaitable[None]]


class Gate:
    """`check` is free of charge, has its own deadline, and raises ProviderFault while the provider is no use."""

    def __init__(
        self, provider: str, check: Check, *, rng: random.Random, first: float = FIRST, longest: float = LONGEST
    ) -> None:
        self.provider = provider
        self.fault: ProviderFault | None = None  # the last one, until a success
        self.shut = False
        self._check, self._rng, self._first, self._longest = check, rng, first, longest
        self._until = 0.0  # monotonic: nobody asks before that
        self._streak = 0
        self._rounds = 0
        self._turn = asyncio.Lock()  # whose turn it is to try, first come, first served
        self._changed = asyncio.Event()

    @property
    def seconds_left(self) -> float:
        return max(0.0, self._until - time.monotonic())

    @property
    def doubtful(self) -> bool:
        """The last call failed as if nobody was there: check before asking again."""
        return self._streak > 0

    def succeeded(self) -> None:
        self._streak = self._rounds = 0
        if self.shut or not self.seconds_left:
            self.fault = None
        if self.shut:
            self.shut = False
            self._until = 0.0
            self._change()

    def failed(self, fault: ProviderFault) -> None:
        """Of a kind that concerns every request. Failures of calls sent before the gate was shut count once."""
        self.fault = fault
        if fault.kind is Kind.RATE_LIMITED:
            self._hold(fault.retry_after or 0.0)
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
        most = min(self._longest, self._first * 2.0 ** min(self._rounds - 1, 16))
        self._hold(max(self._rng.uniform(most / 2, most), (self.fault.retry_after or 0.0) if self.fault else 0.0))

    def why(self) -> str:
        """What a person is told while the gate keeps a job waiting."""
        cause = self.fault or "it is being checked"
        if self.fault is not None and self.fault.kind in (Kind.RATE_LIMITED, Kind.OUT_OF_QUOTA):
            cause = self.fault.kind.value
        until = datetime.now().astimezone() + timedelta(seconds=self.seconds_left)
        return f"waiting for {self.provider}: {cause}" + (f" until {until:%H:%M:%S}" if self.seconds_left else "")

    async def check(self) -> None:
        """Find out, free of charge, whether asking again makes sense. Raises ProviderFault, with the gate shut."""
        try:
            await self._check()
        except ProviderFault as fault:
            self.failed(fault)
            self.close(again=True)
            raise

    @asynccontextmanager
    async def passage(self, waiting: Waiting, *, patient: bool) -> AsyncIterator[bool]:
        """Wait until there is sense in asking. Gives True to the one caller that may ask although the gate is shut: its
        request is the try. Raises NotNow where the wait is longer than an impatient caller's patience."""
        while self.seconds_left or self.shut:
            if not patient and (self.shut or self.seconds_left > PATIENCE):
                await self._try_now_or_leave()
            async with waiting.on(self.why):
                if not self.shut:
                    await self._rest()
                    continue
                if not await self._my_turn():
                    continue
            try:
                yield True
            except ProviderFault:
                if self.shut:
                    self.close(again=True)
                raise
            finally:
                self._turn.release()
            return
        yield False

    async def _try_now_or_leave(self) -> None:
        """Somebody must find out that the provider is back, even where all callers have somewhere else to go."""
        if self.seconds_left or self._turn.locked() or not await self._checked():
            raise NotNow(str(self.fault or self.provider))

    async def _my_turn(self) -> bool:
        """Wait for the turn, the time and a check that passes. False when the gate was opened meanwhile, or is shut for
        longer: the turn is then the next caller's."""
        await self._turn.acquire()
        passed = False
        try:
            while self.shut and self.seconds_left:
                await self._rest()
            passed = self.shut and await self._checked()
            return passed
        finally:
            if not passed:
                self._turn.release()

    async def _checked(self) -> bool:
        try:
            await self.check()
        except ProviderFault:
            return False
        return True

    def _hold(self, seconds: float) -> None:
        self._until = max(self._until, time.monotonic() + seconds)
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _rest(self) -> None:
        """Until the time has come, or something has changed."""
        try:
            async with asyncio.timeout(self.seconds_left):
                await self._changed.wait()
        except TimeoutError:
            return
