"""Papers, and what workers remember of providers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from gradewatch.model import (
    Allowance,
    CredentialFacts,
    PageText,
    PaperRef,
)


class Papers(Protocol):
    """Where uploaded papers are kept, content-addressed."""

    async def put(self, path: Path, name: str) -> PaperRef: ...
    def paper(self, ref: PaperRef) -> AbstractAsyncContextManager[Path]:
        """The paper as a local file for the length of the context. PaperError when it is not there."""
        ...


class PageCache(Protocol):
    """Pages that a provider has read, by a digest of page, provider and options: nothing is bought twice."""

    async def pages(self, keys: Sequence[str]) -> dict[str, PageText]:
        """Those of them that are known. `source` is not kept."""
        ...

    async def keep_page(self, key: str, page: PageText) -> None: ...


class Spending(Protocol):
    """What was asked of providers, per job and per day in UTC, over all workers."""

    async def reserve(self, job_id: str, tokens: int, *, per_job: Allowance, per_day: Allowance) -> str:
        """Count one call and its expected tokens, in one guarded write. Where that would pass an allowance nothing is
        counted, and the answer says which: "job" or "day"; else it is empty."""
        ...

    async def settle(self, job_id: str, tokens: int) -> None:
        """Correct what was reserved by this many tokens, once it is known what the call took."""
        ...


class TroubleReader(Protocol):
    async def troubles(self) -> list[CredentialFacts]:
        """What workers have met at providers, and neither cleared nor let lapse."""
        ...


class Troubles(TroubleReader, Protocol):
    """What workers meet at providers, told to the watch: one trouble a provider, the last one told."""

    async def tell_trouble(self, fact: CredentialFacts, *, lasts: float) -> None:
        """It is believed for `lasts` seconds, unless told again or cleared."""
        ...

    async def clear_trouble(self, provider: str) -> None: ...


class Ocr(Protocol):
    name: str

    async def read(self, image: Any) -> tuple[str, float]:
        """Text and confidence 0..1 of one page image (a Pillow image). Raises PaperError."""
        ...


class Grader(Protocol):
    name: str

    async def grade(self, text: str, rubric: Any, confidence: float) -> Sequence[Mapping[str, Any]]: ...
