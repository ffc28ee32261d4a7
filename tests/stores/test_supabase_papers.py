"""Supabase: papers in Storage, and what can go wrong there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import supabase_project
from backends import opened
from supabase_gateway import Fault
from supabase_project import SupabaseProject

from gradewatch.errors import AccessDenied, PaperError, StoreUnavailable
from gradewatch.model import PaperRef
from gradewatch.stores.supabase import SupabaseStore

BYTES = b"%PDF-1.7 an exam"
OLD = "UPDATE gradewatch.objects SET at = '1970-01-01'"


@pytest.fixture
def project() -> SupabaseProject:
    return supabase_project.emptied()


@pytest.fixture
async def store(project: SupabaseProject) -> AsyncIterator[SupabaseStore]:
    async with opened(SupabaseStore(project.url, project.key, timeout=2.0)) as made:
        assert isinstance(made, SupabaseStore)
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "exam.pdf"
    path.write_bytes(BYTES)
    return path


def names(project: SupabaseProject) -> list[str]:
    return [path.name for path in project.gateway.storage.objects()]


async def refusal(store: SupabaseStore, ref: PaperRef) -> PaperError:
    with pytest.raises(PaperError) as caught:
        async with store.paper(ref):
            pass
    return caught.value


async def purge(store: SupabaseStore, project: SupabaseProject) -> None:
    project.sql(OLD)
    await store.purge(finished_age=0, audit_age=0, limit=10)


async def test_the_bucket_is_made_on_first_use(project: SupabaseProject, source: Path) -> None:
    store = SupabaseStore(project.url, project.key)
    ref = await store.put(source, "Ann.pdf")
    async with store.paper(ref) as path:
        assert path.read_bytes() == BYTES
    await store.close()
    [kept] = project.gateway.storage.objects()
    assert kept.relative_to(project.gateway.storage.folder).parts[:2] == ("gradewatch-papers", ref.sha256[:2])
    assert kept.name.startswith(ref.sha256)


async def test_a_paper_larger_than_storage_takes(
    store: SupabaseStore, project: SupabaseProject, tmp_path: Path
) -> None:
    large = tmp_path / "large.pdf"
    with large.open("wb") as file:
        file.truncate(3 << 20)
    project.gateway.storage.limit = 2 << 20
    try:
        with pytest.raises(PaperError, match=r"'large.pdf' has 3.0 MiB, more than Supabase Storage takes") as caught:
            await store.put(large, "large.pdf")
    finally:
        project.gateway.storage.limit = 80 << 20
    assert caught.value.code == "paper_too_large"
    assert "bucket gradewatch-papers" in str(caught.value)
    assert names(project) == []


async def test_identical_papers_are_sent_once(store: SupabaseStore, project: SupabaseProject, source: Path) -> None:
    await store.put(source, "Ann.pdf")
    await store.put(source, "Bob.pdf")
    sent = [path for path in project.gateway.counted if path.startswith("/storage/v1/object/gradewatch-papers/")]
    assert len(sent) == 1
    assert sum(project.gateway.counted[path] for path in sent) == 1


async def test_two_who_put_one_paper_at_once(store: SupabaseStore, project: SupabaseProject, source: Path) -> None:
    refs = await asyncio.gather(*(store.put(source, f"{n}.pdf") for n in range(4)))
    assert len({ref.sha256 for ref in refs}) == 1
    assert project.sql("SELECT count(*) FROM gradewatch.objects WHERE kept") == [(1,)]
    project.sql(f"{OLD} WHERE NOT kept")
    await store.purge(finished_age=0, audit_age=0, limit=10)
    assert len(names(project)) == 1, "what came too late is removed, what is kept stays"
    async with store.paper(refs[0]) as path:
        assert path.read_bytes() == BYTES


async def test_somebody_emptied_the_bucket(store: SupabaseStore, project: SupabaseProject, source: Path) -> None:
    ref = await store.put(source, "Ann.pdf")
    project.gateway.storage.empty()
    assert (await refusal(store, ref)).code == "paper_missing"
    assert await store.put(source, "Ann.pdf") == ref, "put again, it is sent again"
    async with store.paper(ref) as path:
        assert path.read_bytes() == BYTES


async def test_a_damaged_object_is_no_paper(store: SupabaseStore, project: SupabaseProject, source: Path) -> None:
    ref = await store.put(source, "Ann.pdf")
    project.gateway.storage.objects()[0].write_bytes(b"%PDF-1.7 something else")
    assert (await refusal(store, ref)).code == "paper_missing"


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (Fault(cut=True), StoreUnavailable, "the connection broke"),
        (Fault(hang=True), StoreUnavailable, "no answer within"),
        (Fault(status=503, body="{}"), StoreUnavailable, "failed with status 503"),
        (Fault(status=540, body="{}"), StoreUnavailable, "the project is paused"),
        (Fault(status=404, body="<html>", content_type="text/html"), StoreUnavailable, "in place of its API"),
        (
            Fault(status=400, body='{"statusCode":"403","error":"Unauthorized","message":"Invalid Compact JWS"}'),
            AccessDenied,
            "does not know the key",
        ),
    ],
)
async def test_a_fault_of_storage_is_no_missing_paper(
    store: SupabaseStore,
    project: SupabaseProject,
    source: Path,
    tmp_path: Path,
    fault: Fault,
    kind: type[Exception],
    said: str,
) -> None:
    ref = await store.put(source, "Ann.pdf")
    other = tmp_path / "other.pdf"
    other.write_bytes(b"another")
    project.gateway.faulty, project.gateway.fault = "/storage/", fault
    store.client.timeout = 0.5 if fault.hang else 2.0
    try:
        with pytest.raises(kind, match=said):
            async with store.paper(ref):
                pass
        with pytest.raises(kind, match=said):
            await store.put(other, "other.pdf")
        with pytest.raises(kind, match=said):
            await store.put(source, "Ann.pdf")
        store.client.timeout = 2.0
        assert await store.stats("default"), "the queue itself is there"
    finally:
        project.gateway.faulty, project.gateway.fault = "/", None
    async with store.paper(ref) as path:
        assert path.read_bytes() == BYTES
    assert await store.put(other, "other.pdf")


async def test_an_upload_that_broke_off_leaves_nothing_for_long(
    store: SupabaseStore, project: SupabaseProject, source: Path
) -> None:
    """Its object may be there, or may not."""
    project.gateway.faulty, project.gateway.fault = "/rest/v1/rpc/gradewatch_end_object", Fault(status=503, body="{}")
    with pytest.raises(StoreUnavailable):
        await store.put(source, "Ann.pdf")
    project.gateway.faulty, project.gateway.fault = "/", None
    assert len(names(project)) == 1
    await store.purge(finished_age=0, audit_age=0, limit=10)
    assert len(names(project)) == 1, "it may still be under way"
    await purge(store, project)
    assert (names(project), project.sql("SELECT count(*) FROM gradewatch.objects")) == ([], [(0,)])


async def test_a_removal_that_failed_is_made_up_for(
    store: SupabaseStore, project: SupabaseProject, source: Path
) -> None:
    ref = await store.put(source, "Ann.pdf")
    project.gateway.faulty, project.gateway.fault = "/storage/", Fault(status=503, body="{}")
    with pytest.raises(StoreUnavailable):
        await purge(store, project)
    project.gateway.faulty, project.gateway.fault = "/", None
    assert (await refusal(store, ref)).code == "paper_missing", "it was let go already"
    again = await store.put(source, "Ann.pdf")
    await store.purge(finished_age=0, audit_age=0, limit=10)
    async with store.paper(again) as path:
        assert path.read_bytes() == BYTES, "what was sent anew is not removed with the old one"
    assert len(names(project)) == 1


async def test_an_upload_of_more_than_an_hour_is_given_up(
    store: SupabaseStore, project: SupabaseProject, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = store.bucket.upload

    async def slow(*given: object) -> None:
        await upload(*given)  # type: ignore[arg-type]
        await purge(store, project)

    monkeypatch.setattr(store.bucket, "upload", slow)
    with pytest.raises(StoreUnavailable, match="longer than an hour") as caught:
        await store.put(source, "Ann.pdf")
    assert "submit it again" in caught.value.fix
    assert names(project) == []


async def test_a_paper_that_changes_while_it_is_sent(
    store: SupabaseStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = store.bucket.upload

    async def meddled(*given: object) -> None:
        with source.open("r+b") as writing:
            writing.write(b"another paper")
        await upload(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(store.bucket, "upload", meddled)
    with pytest.raises(PaperError, match="changed while it was read"):
        await store.put(source, "Ann.pdf")
