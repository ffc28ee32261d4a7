"""The one way to a provider: deadline, retries, breaker, adaptive concurrency, budget and metrics, for every call.

The SDKs' own retries are off. What is retried is said here, by tenacity; who may ask, and when, by the gate; how many
at once, by the limiter.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from gradewatch.metrics.local import ProviderMetrics
from gradewatch.model import Code, CredentialFacts
from gradewatch.worker.providers.faults import WAITS, Kind, NotNow, ProviderFault
from gradewatch.worker.providers.gate import Asking, Gate
from gradewatch.worker.providers.limiter import Limiter
from gradewatch.worker.providers.memory import Memory
from gradewatch.worker.providers.waiting import Waiting, now

T = TypeVar("T")
log = structlog.get_logger(__name__)

MALFORMED_TRIES = 3  # of one request whose answers make no sense
BLAMED_AFTER = 4  # failures of one request while others were answered: then it is the request
TELL_EVERY = 10.0  # seconds between two tellings of the same trouble
LASTS = 30.0  # seconds beyond the wait for which a trouble is believed without being told again

CODES = {
    Kind.RATE_LIMITED: Code.PROVIDER_RATE_LIMITED,
    Kind.OUT_OF_QUOTA: Code.PROVIDER_RATE_LIMITED,
    Kind.UNAVAILABLE: Code.PROVIDER_UNAVAILABLE,
    Kind.CREDENTIAL: Code.CREDENTIAL_INVALID,
}


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    value: T
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class Customer:
    """For whom a call is made. An impatient one has another provider to turn to. `aside` lets other papers begin while
    this one waits."""

    job_id: str
    waiting: Waiting
    aside: Callable[[], None]
    patient: bool = True


@dataclass(frozen=True, slots=True)
class _Told:
    """The trouble that the watch was told of last, when, and until when it believes it."""

    code: Code
    at: float
    until: float


class Line:
    """One for each provider in a process. `timeout` is the deadline of one call in seconds, `most` the most calls in
    flight."""

    def __init__(
        self,
        provider: str,
        variable: str,
        check: Callable[[], Awaitable[None]],
        memory: Memory,
        metrics: ProviderMetrics,
        *,
        timeout: float,
        most: int,
        rng: random.Random,
    ) -> None:
        self.provider, self._variable = provider, variable
        self.limiter = Limiter(most, mono=now)
        self.gate = Gate(provider, self._checked(check), rng=rng)
        self._memory, self._metrics, self._timeout = memory, metrics, timeout
        self._answered = 0
        self._told: _Told | None = None

    async def call(self, customer: Customer, tokens: int, send: Callable[[], Awaitable[Answer[T]]]) -> T:
        """What `send` gives, however long the provider makes us wait; `tokens` is what it may take at most.

        Raises ProviderFault where this request cannot be answered, NotNow where an impatient customer had better turn
        to another provider, BudgetSpent before anything that is not allowed is asked.
        """
        answered, asking = self._answered, Asking()
        malformed = failures = 0

        def pointless(state: RetryCallState) -> bool:
            fault = state.outcome.exception() if state.outcome else None
            if not isinstance(fault, ProviderFault):
                return True
            nonlocal malformed, failures
            malformed += fault.kind is Kind.MALFORMED
            failures += fault.kind is Kind.UNAVAILABLE
            return malformed >= MALFORMED_TRIES or (failures >= BLAMED_AFTER and self._answered > answered)

        async for attempt in AsyncRetrying(retry=retry_if_exception(_worth_a_try), stop=pointless, reraise=True):
            with attempt:
                return await self._once(customer, asking, tokens, send)
        raise AssertionError("tenacity ends by returning or raising")

    async def _once(
        self, customer: Customer, asking: Asking, tokens: int, send: Callable[[], Awaitable[Answer[T]]]
    ) -> T:
        gate = self.gate
        while True:
            async with (
                gate.passage(asking, customer.waiting, patient=customer.patient, aside=customer.aside) as trial,
                self.limiter.slot(),
            ):
                if trial or gate.open_to(asking):
                    await self._memory.reserve(customer.job_id, tokens)
                    with gate.sending(asking):
                        return await self._send(customer, asking, tokens, send)

    async def _send(
        self, customer: Customer, asking: Asking, tokens: int, send: Callable[[], Awaitable[Answer[T]]]
    ) -> T:
        took = (0, 0)
        began = now()
        try:
            answer = await self._bounded(send)
            took = (answer.tokens_in, answer.tokens_out)
            self._count("ok", began, took)
            await self._worked(asking)
            return answer.value
        except ProviderFault as fault:
            took = fault.took
            self._count(_outcome(fault), began, took)
            await self._failed(asking, fault)
            raise
        finally:
            await asyncio.shield(self._memory.settle(customer.job_id, sum(took) - tokens))

    async def _bounded(self, send: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await send()
        except TimeoutError as error:
            message = f"{self.provider} did not answer within {self._timeout:g} s"
            raise ProviderFault(Kind.UNAVAILABLE, message, slow=True) from error

    def _checked(self, check: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        async def checked() -> None:
            try:
                await self._bounded(check)
            except ProviderFault as fault:
                await self._tell(fault, self.gate.seconds_left)
                raise

        return checked

    async def _worked(self, asking: Asking) -> None:
        self._answered += 1
        self.limiter.succeeded()
        self.gate.succeeded(asking)
        if self._told is not None and self.gate.good and not self.gate.seconds_left:
            self._told = None
            log.info("provider works again", provider=self.provider)
            await self._memory.clear(self.provider)

    async def _failed(self, asking: Asking, fault: ProviderFault) -> None:
        if fault.kind not in WAITS:
            self.gate.succeeded(asking)  # it is there, and it answered
            return
        if fault.kind is Kind.RATE_LIMITED:
            self.limiter.turned_away()
        self.gate.failed(asking, fault)
        await self._tell(fault, max(self.gate.seconds_left, asking.rests_until - now()))

    async def _tell(self, fault: ProviderFault, wait: float) -> None:
        """To the log when it is new, and to the watch for as long as it lasts; nobody asks again for `wait` seconds."""
        code, told = CODES.get(fault.kind), self._told
        until = now() + max(fault.retry_after or 0.0, wait) + LASTS
        if code is None or (told and told.code is code and now() - told.at < TELL_EVERY and until <= told.until):
            return
        if told is None or told.code is not code:
            log.warning("provider in trouble", provider=self.provider, kind=fault.kind.value, error=str(fault))
        self._told = _Told(code, now(), until)
        fact = CredentialFacts(self._variable, self.provider, code, str(fault), fault.fix)
        await self._memory.tell(fact, until - now())

    def _count(self, outcome: str, began: float, took: tuple[int, int]) -> None:
        seconds = now() - began
        self._metrics.request(self.provider, outcome, seconds, tokens_in=took[0], tokens_out=took[1])


def _worth_a_try(error: BaseException) -> bool:
    return isinstance(error, ProviderFault) and error.kind is not Kind.REFUSED


def _outcome(fault: ProviderFault) -> str:
    if fault.kind in (Kind.RATE_LIMITED, Kind.OUT_OF_QUOTA):
        return "rate_limited"
    return "timeout" if fault.slow else "error"


__all__ = ["Answer", "Customer", "Line", "NotNow"]
