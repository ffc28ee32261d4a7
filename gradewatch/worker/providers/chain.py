"""Providers in the order of the settings: the first that can does it, and each result says who did.

Only where there is another to turn to is a provider left for being away; the last of the chain is waited for.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from gradewatch.errors import PaperError
from gradewatch.model import PageText
from gradewatch.ports import Grader, Ocr
from gradewatch.worker.context import JobContext
from gradewatch.worker.desk import Aside, Graded, read_plainly
from gradewatch.worker.page import Page
from gradewatch.worker.providers.faults import BudgetSpent, NotNow, ProviderFault
from gradewatch.worker.providers.line import Customer
from gradewatch.worker.providers.memory import Memory
from gradewatch.worker.providers.waiting import Waiting
from gradewatch.worker.rubric import Rubric

T = TypeVar("T")
log = structlog.get_logger(__name__)

NEXT_LOOK = 30.0  # seconds between two looks whether a new day's budget has begun


class Reader(Protocol):
    """A provider that reads pages. `options` is what changes what it reads."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> str: ...
    async def read(self, path: Path, pages: Sequence[Page], customer: Customer) -> list[PageText]: ...


class Marker(Protocol):
    """A provider that grades."""

    @property
    def name(self) -> str: ...
    async def grade(self, text: str, rubric: Rubric, confidence: float, customer: Customer) -> list[dict[str, Any]]: ...


class ChainDesk:
    """The chains of a process, for one job."""

    def __init__(
        self,
        ctx: JobContext,
        readers: Sequence[Reader | Ocr],
        graders: Sequence[Marker | Grader],
        memory: Memory,
        *,
        remote: frozenset[str],
        batch: int,
    ) -> None:
        self.batch = batch
        self._job_id = ctx.job.id
        self._readers, self._graders, self._memory, self._remote = readers, graders, memory, remote
        self._waiting = Waiting(ctx)

    async def read(self, path: Path, pages: Sequence[Page], aside: Aside) -> list[PageText]:
        async def by(reader: Any, customer: Customer) -> list[PageText]:
            return await self._read(reader, path, pages, customer)

        return await self._first(self._readers, by, aside)

    async def grade(self, text: str, rubric: Rubric, confidence: float, aside: Aside) -> Graded:
        async def by(grader: Any, customer: Customer) -> Graded:
            more = (customer,) if grader.name in self._remote else ()
            return Graded(await grader.grade(text, rubric, confidence, *more), grader.name)

        return await self._first(self._graders, by, aside)

    async def close(self) -> None:
        await self._waiting.close()

    async def _first(self, chain: Sequence[Any], ask: Callable[[Any, Customer], Awaitable[T]], aside: Aside) -> T:
        """What the first of the chain gives that can. Raises PaperError when the last of it cannot."""
        for at, each in enumerate(chain):
            last = at == len(chain) - 1
            while True:
                try:
                    return await ask(each, Customer(self._job_id, self._waiting, aside, patient=last))
                except (ProviderFault, NotNow, BudgetSpent) as fault:
                    if last and isinstance(fault, BudgetSpent) and fault.scope == "day":
                        await self._next_day(fault)
                        continue
                    if last:
                        raise _blamed(each.name, fault) from fault
                    log.warning("turning to the next provider", job=self._job_id, left=each.name, error=str(fault))
                    break
        raise AssertionError("a chain is never empty")

    async def _next_day(self, fault: BudgetSpent) -> None:
        async with self._waiting.on(lambda: f"waiting for the next day (UTC): {fault}"):
            await asyncio.sleep(NEXT_LOOK)

    async def _read(self, reader: Any, path: Path, pages: Sequence[Page], customer: Customer) -> list[PageText]:
        if reader.name not in self._remote:
            return await read_plainly(reader, pages)
        keys = await asyncio.to_thread(lambda: [page_key(page, reader) for page in pages])
        wanted = dict(zip(keys, pages, strict=True))
        known: dict[str, PageText] = {}
        while missing := [key for key in wanted if key not in known]:
            known |= await self._memory.pages(missing)
            mine = self._memory.buy([key for key in missing if key not in known])
            if mine:
                known |= await self._bought(mine, lambda some: reader.read(path, some, customer), wanted)
            await self._memory.bought_by_others([key for key in missing if key not in known])
        return [PageText(known[key].text, known[key].confidence, reader.name) for key in keys]

    async def _bought(
        self,
        keys: Sequence[str],
        read: Callable[[list[Page]], Awaitable[list[PageText]]],
        pages: Mapping[str, Page],
    ) -> dict[str, PageText]:
        try:
            texts = dict(zip(keys, await read([pages[key] for key in keys]), strict=True))
            for key, text in texts.items():
                await self._memory.keep_page(key, text)
            return texts
        finally:
            self._memory.sold(keys)


def page_key(page: Page, reader: Reader) -> str:
    """The same for pages that look the same, to the pixel, to the same provider with the same options."""
    assert page.image is not None
    image = page.image
    digest = hashlib.sha256(f"{reader.name} {reader.options} {image.mode} {image.size}".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def _blamed(name: str, fault: Exception) -> PaperError:
    if isinstance(fault, BudgetSpent):
        message = f"{fault}; raise worker.budget and requeue the job, or grade this paper by hand"
        return PaperError("budget_spent", message)
    return PaperError("provider_refused", f"{name}: {fault}; look at this paper, and grade it by hand")
