"""The ports PageCache, Spending and Troubles, each method one call with its deadline."""

from __future__ import annotations

from collections.abc import Sequence

from gradewatch.model import Allowance, CredentialFacts, PageText
from gradewatch.stores.mongo import providers
from gradewatch.stores.mongo.database import Database


class ProviderMemory:
    _data: Database

    async def pages(self, keys: Sequence[str]) -> dict[str, PageText]:
        async with self._data.call():
            return await providers.pages(self._data, keys)

    async def keep_page(self, key: str, page: PageText) -> None:
        async with self._data.call():
            await providers.keep_page(self._data, key, page)

    async def reserve(self, job_id: str, tokens: int, *, per_job: Allowance, per_day: Allowance) -> str:
        async with self._data.call():
            return await providers.reserve(self._data, job_id, tokens, per_job, per_day)

    async def settle(self, job_id: str, tokens: int) -> None:
        async with self._data.call():
            await providers.settle(self._data, job_id, tokens)

    async def tell_trouble(self, fact: CredentialFacts, *, lasts: float) -> None:
        async with self._data.call():
            await providers.tell_trouble(self._data, fact, lasts)

    async def clear_trouble(self, provider: str) -> None:
        async with self._data.call():
            await providers.clear_trouble(self._data, provider)

    async def troubles(self) -> list[CredentialFacts]:
        async with self._data.call():
            return await providers.troubles(self._data)
