"""What workers keep in the store about providers, and how much each of it matters when the store is away.

Money is counted before it is spent, so a reservation waits for the store. A page that cannot be looked up is bought
again, and one that cannot be kept is lost: neither may hold a paper up. A trouble is told as well as it goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from gradewatch.config import ProviderBudget
from gradewatch.errors import StoreError
from gradewatch.model import Allowance, CredentialFacts, PageText
from gradewatch.ports import PageCache, Spending, Troubles
from gradewatch.worker.providers.faults import BudgetSpent

log = structlog.get_logger(__name__)

RETRY = 1.0  # seconds between two tries to reserve while the store is away


class ProviderStore(PageCache, Spending, Troubles, Protocol):
    """The part of a store that providers need."""


class Memory:
    """One for each worker process."""

    def __init__(self, store: ProviderStore, budget: ProviderBudget) -> None:
        self._store = store
        self._per_job = Allowance(budget.calls_per_job, budget.tokens_per_job)
        self._per_day = Allowance(budget.calls_per_day, budget.tokens_per_day)
        self._buying: dict[str, asyncio.Event] = {}  # pages on their way

    async def pages(self, keys: Sequence[str]) -> dict[str, PageText]:
        try:
            return await self._store.pages(keys)
        except StoreError as error:
            log.warning("pages not looked up, and read again", error=str(error))
            return {}

    async def keep_page(self, key: str, page: PageText) -> None:
        try:
            await self._store.keep_page(key, page)
        except StoreError as error:
            log.warning("page not kept: it is bought again if it is met again", error=str(error))

    def buy(self, keys: Sequence[str]) -> list[str]:
        """Of these pages, those that nobody in this process is buying; the caller is, from now on, until `sold`."""
        mine = [key for key in keys if key not in self._buying]
        self._buying |= {key: asyncio.Event() for key in mine}
        return mine

    def sold(self, keys: Sequence[str]) -> None:
        """Bought, or given up."""
        for key in keys:
            self._buying.pop(key).set()

    async def bought_by_others(self, keys: Sequence[str]) -> None:
        """Wait until those who buy these pages have them, or have given up."""
        for event in [self._buying[key] for key in keys if key in self._buying]:
            await event.wait()

    async def reserve(self, job_id: str, tokens: int) -> None:
        """Count one call and the tokens it may take. Raises BudgetSpent."""
        while True:
            try:
                spent = await self._store.reserve(job_id, tokens, per_job=self._per_job, per_day=self._per_day)
            except StoreError as error:
                log.warning("nothing is asked of a provider while it cannot be counted", error=str(error))
                await asyncio.sleep(RETRY)
                continue
            if spent:
                raise BudgetSpent(spent)
            return

    async def settle(self, job_id: str, tokens: int) -> None:
        """Correct a reservation by so many tokens."""
        if not tokens:
            return
        try:
            await self._store.settle(job_id, tokens)
        except StoreError as error:
            log.warning("tokens not settled: the budget counts what was reserved", tokens=tokens, error=str(error))

    async def tell(self, fact: CredentialFacts, lasts: float) -> None:
        try:
            await self._store.tell_trouble(fact, lasts=lasts)
        except StoreError as error:
            log.warning("trouble not told to the watch", provider=fact.provider, error=str(error))

    async def clear(self, provider: str) -> None:
        try:
            await self._store.clear_trouble(provider)
        except StoreError as error:
            log.warning("end of trouble not told to the watch: it lapses", provider=provider, error=str(error))
