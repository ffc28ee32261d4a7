"""Every store: the files of submitted papers, and retention."""

from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from backends import Backend, StepClock
from store_kit import Hands, action, fence, get, graded, new, repaired, running

from gradewatch.errors import PaperError
from gradewatch.model import ActionKind, JobState, PaperRef
from gradewatch.ports import Store

BYTES = b"%PDF-1.7 an exam"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "exam.pdf"
    path.write_bytes(BYTES)
    return path


def payload(*refs: PaperRef) -> dict[str, object]:
    return {"papers": [{"name": ref.name, "sha256": ref.sha256, "size": ref.size} for ref in refs]}


async def test_a_paper_comes_back_as_it_was_put(store: Store, other: Store, source: Path) -> None:
    ref = await store.put(source, "Ann.pdf")
    assert ref == PaperRef("Ann.pdf", hashlib.sha256(BYTES).hexdigest(), len(BYTES))
    source.unlink()
    async with other.paper(ref) as path:
        assert path.read_bytes() == BYTES


async def test_identical_uploads_are_one_paper(store: Store, source: Path) -> None:
    first = await store.put(source, "Ann.pdf")
    second = await store.put(source, "Bob.pdf")
    assert (first.sha256, second.name) == (second.sha256, "Bob.pdf")


async def test_a_large_paper_is_never_whole_in_memory(store: Store, tmp_path: Path) -> None:
    large = tmp_path / "large.pdf"
    with large.open("wb") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    try:
        ref = await store.put(large, "large.pdf")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ref.size == 64 << 20
    assert peak < 8 << 20


@pytest.mark.parametrize("sha256", ["0" * 64, "../../etc/passwd", "", "A" * 64])
async def test_a_paper_that_is_not_there(store: Store, sha256: str) -> None:
    with pytest.raises(PaperError, match="submit it again") as caught:
        async with store.paper(PaperRef("x.pdf", sha256, 1)):
            pass
    assert caught.value.code == "paper_missing"


async def test_a_source_that_cannot_be_read(store: Store, tmp_path: Path) -> None:
    for source in (tmp_path / "absent.pdf", tmp_path):
        with pytest.raises(PaperError) as caught:
            await store.put(source, "x.pdf")
        assert caught.value.code == "paper_unreadable"


# ---------------------------------------------------------------- retention


async def test_purge_takes_what_is_old_and_finished(store: Store, clock: StepClock) -> None:
    hands = await Hands.open(store)
    await store.submit([new() for _ in range(3)])
    done, held = await hands.claim(2)
    await store.save_paper(fence(done), graded(0))
    assert await hands.finish(done)
    await (await Hands.open(store)).end()
    await repaired(store, action(ActionKind.REQUEUE, done))
    clock.step(100)
    assert await store.purge(finished_age=101, audit_age=101, limit=100) == 0
    assert await store.purge(finished_age=99, audit_age=99, limit=100) == 3, "a job, a session, an audit entry"
    assert (await store.job(done.id), await store.papers(done.id), await store.audit()) == (None, [], [])
    assert (await get(store, held.id)).state is JobState.RUNNING
    assert len(await store.sessions()) == 1


async def test_purge_is_bounded(store: Store, clock: StepClock) -> None:
    hands = await Hands.open(store)
    await store.submit([new() for _ in range(450)])
    for job in await hands.claim(450):
        assert await hands.finish(job)
    clock.step(10)
    assert [await store.purge(finished_age=5, audit_age=5, limit=420) for _ in range(3)] == [420, 30, 0]


async def test_a_key_is_free_again_after_its_job_was_purged(store: Store, clock: StepClock) -> None:
    hands, job = await running(store, key="exam-1")
    assert await hands.finish(job)
    clock.step(10)
    assert await store.submit([new(key="exam-1")]) == [job.id]
    await store.purge(finished_age=5, audit_age=5, limit=10)
    assert await store.submit([new(key="exam-1")]) != [job.id]


async def kept(store: Store, ref: PaperRef) -> bool:
    try:
        async with store.paper(ref):
            return True
    except PaperError:
        return False


async def test_papers_go_with_the_last_job_that_needs_them(
    store: Store, backend: Backend, source: Path, clock: StepClock
) -> None:
    ref = await store.put(source, "Ann.pdf")
    backend.age_paper(ref)
    hands = await Hands.open(store)
    twice = payload(ref, replace(ref, name="Bob.pdf"))
    await store.submit([new(payload=twice), new(payload=payload(ref))])
    one, two = await hands.claim()

    async def kept_after(job_id: str) -> bool:
        [job] = [held for held in (one, two) if held.id == job_id]
        assert await hands.finish(job)
        clock.step(10)
        assert await store.purge(finished_age=5, audit_age=5, limit=10) == 1
        return await kept(store, ref)

    assert await kept_after(one.id)
    assert not await kept_after(two.id)


async def test_a_fresh_upload_is_kept_until_its_job_is_submitted(store: Store, backend: Backend, source: Path) -> None:
    ref = await store.put(source, "Ann.pdf")
    await store.purge(finished_age=0, audit_age=0, limit=10)
    backend.age_paper(ref)
    await store.put(source, "Ann.pdf")
    await store.purge(finished_age=0, audit_age=0, limit=10)
    assert await kept(store, ref), "put again just now"
    backend.age_paper(ref)
    await store.purge(finished_age=0, audit_age=0, limit=10)
    assert not await kept(store, ref), "an upload that nobody submitted goes after a while"
