"""The real commands with both SDKs against local providers: outages, wrong keys, and the demo with keys."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from chaos_kit import Scene, many, until
from fake_google import FakeGoogle
from fake_groq import KEY, FakeGroq
from PIL import Image
from provider_kit import RUBRIC, scan

from gradewatch.model import JobState, NewJob
from gradewatch.worker.payload import build_payload

pytestmark = pytest.mark.acceptance

PAPERS = 12
TEXT = "Q1 Gravity pulls every mass down.\nQ2 g = 9.81 m/s\nPaper"


class Providers:
    """Both fakes, and the variables that lead to them."""

    def __init__(self, folder: Path, google: FakeGoogle, groq: FakeGroq) -> None:
        self.google, self.groq = google, groq
        google.text = lambda content, number: f"{TEXT} {hashlib.sha256(content).hexdigest()[:12]}"
        self.environ = {
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(folder / "cert.pem"),
            "GOOGLE_CLOUD_VISION_CREDENTIALS_JSON": google.credentials,
            "GOOGLE_CLOUD_VISION_ENDPOINT": google.endpoint,
            "GROQ_API_KEY": KEY,
            "GROQ_BASE_URL": groq.url,
            "GRADEWATCH_WATCH__PROVIDER_CHECK": "2s",
        }


@pytest.fixture
async def providers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Providers]:
    folder = tmp_path_factory.mktemp("certificates")
    FakeGoogle.make_certificate(folder)
    async with FakeGoogle(folder) as google, FakeGroq() as groq:
        yield Providers(folder, google, groq)


async def submit(scene: Scene, count: int = PAPERS, name: str = "paper") -> str:
    papers = [scan(scene.folder, f"{name}-{n:02d}.pdf") for n in range(count)]
    refs = [await scene.store.put(path, path.name) for path in papers]
    [job_id] = await scene.store.submit([NewJob("grade", build_payload(refs, RUBRIC), progress_total=count)])
    return job_id


async def all_graded(scene: Scene, job_id: str, count: int = PAPERS) -> None:
    """The job succeeded at its first attempt; each paper is read by Vision, graded by Groq, and written once."""
    await scene.finished([job_id])
    job = await scene.job(job_id)
    assert (job.state, job.attempt, job.lost, job.error) == (JobState.SUCCEEDED, 1, 0, None)
    papers = await scene.store.papers(job_id)
    assert len(papers) == count
    told = {(p.status, p.marks, p.times_written, p.detail["source"], p.detail["graded_by"]) for p in papers}
    assert told == {("graded", 5.0, 1, "vision", "groq")}


@pytest.mark.parametrize("checks", [None, "ok"], ids=["all of it is out", "free checks pass"])
@pytest.mark.parametrize("provider", ["groq", "google"])
async def test_a_provider_goes_down_in_mid_job_and_returns(
    scene: Scene, providers: Providers, provider: str, checks: str | None
) -> None:
    """start_to_close is shorter than the outage: only because the wait is credited does the job live."""
    fake = getattr(providers, provider)
    run = scene.start("run", environ=providers.environ, TIMEOUTS__START_TO_CLOSE="15s")
    await all_graded(scene, await submit(scene, 1, "warm-up"), 1)  # to load the SDKs takes seconds on a busy machine
    fake.by_content.clear()
    fake.seconds, fake.down_after, fake.down_checks = 0.05, fake.answered + 4, checks
    job_id = await submit(scene, 30)
    await until(fake.went_down.is_set, "it goes down in mid-job")

    name = "groq" if provider == "groq" else "vision"

    async def says_why() -> bool:
        return f"waiting for {name}" in (await scene.job(job_id)).status_message

    await until(says_why, "the job says what it waits for")
    found = await until(lambda: run.lines("finding", code="provider_unavailable"), "the finding is raised")
    assert found[0]["fix"]

    async def outlived() -> bool:
        job = await scene.job(job_id)
        assert (job.state, job.error) == (JobState.RUNNING, None)
        refs = await scene.store.overdue("default", JobState.RUNNING, 0.0, kinds=None, limit=1)
        return bool(refs) and refs[0].waited > 16.0

    await until(outlived, "the outage lasts for longer than a job may run")
    fake.mode = "ok"
    await all_graded(scene, job_id, 30)
    await until(lambda: run.lines("finding gone", code="provider_unavailable"), "the finding is cleared")
    assert len(fake.by_content) == 30
    assert max(fake.by_content.values()) <= 2, "at most one call more for each paper"
    assert await scene.audit() == [], "nothing had to be repaired"


@pytest.mark.parametrize("provider", ["groq", "google"])
async def test_a_wrong_key_fails_no_job_before_the_operator_is_told(
    scene: Scene, providers: Providers, provider: str
) -> None:
    variable = "GROQ_API_KEY" if provider == "groq" else "GOOGLE_CLOUD_VISION_CREDENTIALS_JSON"
    if provider == "groq":
        providers.groq.key = "gsk_" + "n" * 48
    else:
        providers.google.token_mode = "wrong"
    job_id = await submit(scene, 3)
    run = scene.start("run", environ=providers.environ, TIMEOUTS__START_TO_CLOSE="12s")
    [told, *_] = await until(lambda: run.lines("finding", code="credential_invalid"), "the operator is told")
    assert told["subject"] == variable

    async def waits() -> bool:
        job = await scene.job(job_id)
        assert job.state in (JobState.PENDING, JobState.RUNNING), job
        refs = await scene.store.overdue("default", JobState.RUNNING, 0.0, kinds=None, limit=1)
        return bool(refs) and refs[0].waited > 13.0 and variable in job.status_message

    await until(waits, "the job waits, for longer than it may run")
    providers.groq.key, providers.google.token_mode = KEY, "ok"
    await all_graded(scene, job_id, 3)
    assert KEY not in run.log.read_text()
    await until(lambda: run.lines("finding gone", code="credential_invalid"), "the finding is cleared")


async def test_a_worker_killed_while_it_waits_costs_no_more_than_its_attempt(
    scene: Scene, providers: Providers
) -> None:
    providers.groq.down_after = 4
    job_id = await submit(scene)
    scene.start("run", environ=providers.environ)
    await until(providers.groq.went_down.is_set, "it goes down")
    job = await until(lambda: _running(scene, job_id), "the job runs")
    saved = await until(lambda: _saved(scene, job_id), "papers are kept")
    victim = await scene.session_of(job)
    os.kill(victim.pid, 9)
    providers.groq.mode = "ok"
    await scene.finished([job_id])
    assert (await scene.job(job_id)).state is JobState.SUCCEEDED
    papers = await scene.store.papers(job_id)
    assert {p.times_written for p in papers} == {1}
    assert len(saved) >= 1
    assert max(providers.google.by_content.values()) == 1, "no page was bought twice"


async def _running(scene: Scene, job_id: str):  # type: ignore[no-untyped-def]
    job = await scene.job(job_id)
    return job if job.state is JobState.RUNNING and "waiting" in job.status_message else None


async def _saved(scene: Scene, job_id: str):  # type: ignore[no-untyped-def]
    return await scene.store.papers(job_id)


async def test_the_workers_metrics_count_its_calls(scene: Scene, providers: Providers) -> None:
    job_id = await submit(scene, 3)
    scene.start("worker", environ=providers.environ)
    await all_graded(scene, job_id, 3)
    [session] = await scene.workers(1)
    with urllib.request.urlopen(f"{session.http}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert 'gradewatch_provider_requests_total{provider="groq",outcome="ok"} 3.0' in text or (
        'gradewatch_provider_requests_total{outcome="ok",provider="groq"} 3.0' in text
    )


@pytest.mark.timeout(300)
async def test_thirty_papers_of_thirty_megabytes_fit_in_600_mb(scene: Scene, providers: Providers) -> None:
    files = []
    for n in range(8):
        path = _large(scene.folder, n)
        assert path.stat().st_size > 28_000_000
        files.append(await scene.store.put(path, path.name))
        path.unlink()
    providers.google.seconds = providers.groq.seconds = 2.0
    payload = build_payload(many(files, 30), RUBRIC)
    [job_id] = await scene.store.submit([NewJob("grade", payload, progress_total=30)])
    worker = psutil.Process(scene.start("worker", environ=providers.environ).pid)
    peak = 0
    while not (await scene.job(job_id)).state.finished:
        peak = max(peak, worker.memory_info().rss)
        await asyncio.sleep(0.02)
    await all_graded(scene, job_id, 30)
    print(f"peak RSS {peak / 1e6:.0f} MB")
    assert max(providers.google.peak, providers.groq.peak) > 3, "papers were in flight at once"
    assert peak < 600e6, f"{peak / 1e6:.0f} MB"


def _large(folder: Path, n: int) -> Path:
    """A paper of some thirty megabytes that does not compress: a photo in a PDF, or a PNG."""
    if n % 3 == 0:
        path = folder / f"large-{n}.png"
        Image.frombytes("L", (5400, 5600), os.urandom(5400 * 5600)).save(path, compress_level=0)
    else:
        path = folder / f"large-{n}.pdf"
        photo = Image.frombytes("RGB", (3400, 3400), os.urandom(3400 * 3400 * 3))
        photo.save(path, "PDF", quality=100, subsampling=0, resolution=300)
    return path


async def test_the_demo_with_keys_goes_through_both_sdks(scene: Scene, providers: Providers) -> None:
    scene.environ |= {name: value for name, value in providers.environ.items() if not name.startswith("GRADEWATCH_")}
    providers.groq.seconds = 0.3  # else it is over before anybody could be killed half way
    await scene.run("demo", "--report", "report.json")
    report = json.loads((scene.folder / "report.json").read_text())
    assert (report["papers"], report["graded"], report["lost"], report["graded_twice"]) == (30, 30, 0, 0)
    assert providers.google.answered > 0
    assert providers.groq.answered > 0
