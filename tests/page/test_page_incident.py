"""An incident as somebody at the page sees it, from start to repair: the real commands over a real store, a worker
killed with SIGKILL in the middle of a job, another one started, every paper graded once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from acceptance.chaos_kit import Scene
from page_kit import TOKEN, Visitor
from playwright.async_api import expect

PAPERS = 120


@pytest_asyncio.fixture(loop_scope="session")
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    try:
        await made.open()
        yield made
    finally:
        await made.clear()


@pytest.mark.acceptance
async def test_an_incident_is_seen_from_start_to_repair(scene: Scene, visitor: Visitor) -> None:
    page = visitor.page
    watch = scene.start("watch", HTTP__TOKEN=TOKEN)
    worker = scene.start("worker")
    await scene.workers(1)
    await visitor.open(await watch.url() + "/")
    await expect(page.locator("h1")).to_contain_text("All is well: nothing waits, 1 worker alive", timeout=20_000)
    await visitor.shot("story-1-idle")

    [job_id] = await scene.submit(1, papers=PAPERS)
    job = await scene.half_way(job_id)
    await expect(page.locator("#workers tbody")).to_contain_text(f"/{PAPERS}", timeout=20_000)
    await expect(page.locator("#jobs tbody")).to_contain_text("running")
    worker.kill()
    await worker.ended()

    await expect(page.locator("h1")).to_contain_text("No worker is running for default", timeout=30_000)
    await expect(page.locator(".fix")).to_contain_text("Start one")
    await expect(page.locator(".commands")).to_contain_text("gradewatch worker")
    await expect(page.locator("#timeline")).to_contain_text("Taken back")
    await expect(page.locator("#timeline")).to_contain_text("Found: No worker is running for default")
    await expect(page.locator(f'#jobs tr[data-key="{job_id}"]')).to_contain_text("pending")
    assert await visitor.barriers() == []
    await visitor.shot("story-2-worker-lost")

    scene.start("worker")
    await expect(page.locator("h1")).to_contain_text("All is well", timeout=30_000)
    await expect(page.locator("#timeline")).to_contain_text("Over: No worker is running for default")
    await visitor.shot("story-3-repaired")
    await page.click(f'#jobs tr[data-key="{job_id}"] a')
    await expect(page.locator("#job")).to_contain_text("succeeded", timeout=60_000)
    await visitor.sees(f"{PAPERS}/{PAPERS}", "#job")
    await expect(page.locator("#job")).to_contain_text("1 worker lost")
    await expect(page.locator("#timeline")).to_contain_text("Taken back")
    await visitor.shot("story-4-the-job")
    assert job.id == job_id
    await scene.graded_once([job_id])


@pytest.mark.acceptance
async def test_a_store_that_goes_away_and_comes_back_is_seen(scene: Scene, visitor: Visitor) -> None:
    """The database's folder is moved away under the running watch, and back."""
    page = visitor.page
    watch = scene.start("watch")
    scene.start("worker")
    await scene.workers(1)
    await visitor.open(await watch.url() + "/")
    await expect(page.locator("h1")).to_contain_text("All is well", timeout=20_000)
    hidden = scene.database.parent.rename(scene.folder / "elsewhere")
    await expect(page.locator(".away")).to_contain_text("The store has not answered since", timeout=30_000)
    await expect(page.locator(".chip[data-level=critical]").first).to_be_visible()
    await visitor.shot("story-store-away")
    hidden.rename(scene.database.parent)
    await expect(page.locator(".away")).to_have_count(0, timeout=30_000)
