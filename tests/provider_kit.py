"""A worker with providers: a real store, the real handler over the real SDKs, papers made here."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from fake_google import FakeGoogle
from fake_groq import KEY, FakeGroq
from PIL import Image, ImageDraw
from prometheus_client import CollectorRegistry

from gradewatch.app.providers import grade_handler
from gradewatch.config import Settings, WorkerSettings
from gradewatch.metrics.local import ProviderMetrics
from gradewatch.model import Job, JobState, NewJob, PaperResult
from gradewatch.stores.sqlite import SqliteStore
from gradewatch.worker.payload import GRADE, build_payload
from gradewatch.worker.rubric import Rubric
from gradewatch.worker.runtime import Worker

RUBRIC = Rubric.from_dict(
    {
        "exam": "Physics",
        "questions": [
            {"id": "Q1", "keywords": [{"word": "gravity", "marks": 2}, {"word": "mass", "marks": 1}]},
            {"id": "Q2", "number": {"value": 9.81, "tolerance": 0.05, "unit": "m/s", "marks": 2}},
        ],
    }
)
GOOD = "Q1 Gravity pulls every mass down.\nQ2 g = 9.81 m/s"
DEADLINE = 20.0


def scan(folder: Path, name: str, pages: int = 1) -> Path:
    """A paper of images, no two alike: a PDF of scans, or a PNG for a name that ends so."""
    rng = random.Random(name)
    images = []
    for number in range(pages):
        image = Image.new("L", (400, 560), 255)
        draw = ImageDraw.Draw(image)
        draw.text((20, 20), f"{name} {number}", fill=0)
        draw.rectangle([rng.randrange(200) for _ in range(2)] + [rng.randrange(200, 400) for _ in range(2)], fill=0)
        images.append(image)
    path = folder / name
    if name.endswith(".png"):
        images[0].save(path)
    else:
        images[0].save(path, "PDF", save_all=True, append_images=images[1:], resolution=100)
    return path


async def until(look: Callable[[], Any], what: str, within: float = DEADLINE) -> Any:
    """What `look` gives as soon as it is true."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        await asyncio.sleep(0.01)


@dataclass
class Kit:
    folder: Path
    google: FakeGoogle
    groq: FakeGroq
    store: SqliteStore
    settings: Settings
    environ: dict[str, str]
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, google: FakeGoogle, groq: FakeGroq) -> AsyncIterator[Self]:
        store = SqliteStore(folder / "gradewatch.db")
        await store.migrate()
        await store.open()
        worker = WorkerSettings(slots=4, poll=0.05, drain=0.5, provider_timeout=5.0)
        google.text = lambda content, number: GOOD
        environ = {
            "GOOGLE_CLOUD_VISION_CREDENTIALS_JSON": google.credentials,
            "GOOGLE_CLOUD_VISION_ENDPOINT": google.endpoint,
            "GROQ_API_KEY": KEY,
            "GROQ_BASE_URL": groq.url,
        }
        try:
            yield cls(folder, google, groq, store, Settings(worker=worker), environ)
        finally:
            await store.close()

    def set(self, **changes: Any) -> None:
        """Change settings of the worker."""
        self.settings = replace(self.settings, worker=replace(self.settings.worker, **changes))

    def tell_papers_apart(self) -> None:
        """Write on each paper what it is, so that both fakes count its calls by themselves."""
        self.google.text = lambda content, number: f"{GOOD}\nPaper {hashlib.sha256(content).hexdigest()[:12]}"

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        handle = SqliteStore(self.store.path)
        await handle.open()

        async def open_store() -> SqliteStore:
            own = SqliteStore(self.store.path)
            await own.open()
            return own

        self.registry, closing = CollectorRegistry(), AsyncExitStack()
        metrics = ProviderMetrics(self.registry, ("vision", "groq"))
        worker = Worker(
            handle,
            open_store,
            name="worker-1",
            queues=["default"],
            handlers={GRADE: grade_handler(self.settings, handle, self.environ, metrics, closing)},
            settings=self.settings.worker,
            heartbeat_timeout=5.0,
            version="test",
        )
        running = asyncio.create_task(worker.run())
        try:
            await until(lambda: worker.session_id or running.done(), "a session")
            yield worker
        finally:
            worker.request_drain()
            worker.request_drain()
            await asyncio.wait({running})
            await closing.aclose()
            await handle.close()
            running.result()

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"gradewatch_{name}", labels) or 0.0

    async def submit(self, paths: Sequence[Path], rubric: Rubric = RUBRIC) -> str:
        refs = [await self.store.put(path, path.name) for path in paths]
        [job_id] = await self.store.submit([NewJob(GRADE, build_payload(refs, rubric), progress_total=len(refs))])
        return job_id

    def scans(self, count: int, pages: int = 1) -> list[Path]:
        return [scan(self.folder, f"paper-{n:02d}.pdf", pages) for n in range(count)]

    async def job(self, job_id: str) -> Job:
        job = await self.store.job(job_id)
        assert job is not None
        return job

    async def done(self, job_id: str, within: float = DEADLINE) -> dict[int, PaperResult]:
        """The papers of a job that must succeed."""

        async def over() -> Job | None:
            job = await self.job(job_id)
            return job if job.state.finished else None

        job = await until(over, f"{job_id} is finished", within)
        assert (job.state, job.error) == (JobState.SUCCEEDED, None), job
        return {paper.index: paper for paper in await self.store.papers(job_id)}

    async def status(self, job_id: str, part: str) -> str:
        """Wait until the job's status message holds `part`."""

        async def says() -> str:
            message = (await self.job(job_id)).status_message
            return message if part in message else ""

        found: str = await until(says, f"a status with {part!r}")
        return found


def marks(papers: Mapping[int, PaperResult]) -> list[float | None]:
    return [papers[index].marks for index in sorted(papers)]
