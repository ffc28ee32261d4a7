"""What workers remember of providers: pages already read, what was spent, what troubles were met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradewatch.model import Allowance, CredentialFacts, PageText
from gradewatch.stores.postgres import encode, rows

if TYPE_CHECKING:
    from gradewatch.stores.postgres.caller import Caller


class ProviderMemory:
    """The ports PageCache, Spending and Troubles."""

    _caller: Caller

    async def pages(self, keys: Sequence[str]) -> dict[str, PageText]:
        found = await self._caller.call("get_pages", keys=list(keys))
        return {key: PageText(text, float(confidence)) for key, (text, confidence) in found.items()}

    async def keep_page(self, key: str, page: PageText) -> None:
        await self._caller.call("keep_page", page_key=key, content=page.text, sureness=page.confidence)

    async def reserve(self, job_id: str, tokens: int, *, per_job: Allowance, per_day: Allowance) -> str:
        passed: str = await self._caller.call(
            "reserve",
            job=job_id,
            of_tokens=tokens,
            job_calls=per_job.calls,
            job_tokens=per_job.tokens,
            day_calls=per_day.calls,
            day_tokens=per_day.tokens,
        )
        return passed

    async def settle(self, job_id: str, tokens: int) -> None:
        await self._caller.call("spend", job=job_id, of_calls=0, of_tokens=tokens)

    async def tell_trouble(self, fact: CredentialFacts, *, lasts: float) -> None:
        await self._caller.call(
            "tell_trouble",
            of_provider=fact.provider,
            of_variable=fact.variable,
            of_code=fact.problem.value if fact.problem else "",
            said=fact.message,
            to_do=fact.fix,
            lasts=encode.micros(lasts),
        )

    async def clear_trouble(self, provider: str) -> None:
        await self._caller.call("clear_trouble", of_provider=provider)

    async def troubles(self) -> list[CredentialFacts]:
        return [rows.trouble(row) for row in await self._caller.call("list_troubles")]
