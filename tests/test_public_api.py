"""What a backend imports."""

from __future__ import annotations

from pathlib import Path

import pytest

import gradewatch
from gradewatch.errors import ConfigError, PaperError, RubricError, SchemaMismatch
from gradewatch.stores.sqlite import SqliteStore

EXAM = Path(__file__).parents[1] / "examples" / "exam"
PAPERS = sorted((EXAM / "papers").iterdir())[:2]


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    store = SqliteStore(tmp_path / "gradewatch.db")
    await store.migrate()
    await store.open()
    yield store
    await store.close()


async def test_a_submitted_job_waits_in_the_default_store(store: SqliteStore) -> None:
    job = await store.job(await gradewatch.submit(PAPERS, EXAM / "rubric.yaml", priority=7))
    assert job is not None
    assert (job.queue, job.kind, job.priority, job.progress_total) == ("default", "grade", 7, 2)
    assert [paper["name"] for paper in job.payload["papers"]] == [path.name for path in PAPERS]


async def test_a_key_makes_submitting_safe_to_repeat(store: SqliteStore) -> None:
    first = await gradewatch.submit(PAPERS, EXAM / "rubric.yaml", key="exam-42")
    assert await gradewatch.submit(PAPERS, EXAM / "rubric.yaml", key="exam-42") == first
    assert len(await store.jobs()) == 1


async def test_what_cannot_be_submitted_leaves_no_job(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(PaperError, match=r"nowhere\.pdf"):
        await gradewatch.submit(["nowhere.pdf", *PAPERS], EXAM / "rubric.yaml")
    with pytest.raises(RubricError, match="nowhere"):
        await gradewatch.submit(PAPERS, "nowhere.yaml")
    bad = tmp_path / "bad.toml"
    bad.write_text("[store]\nurl = 7\n")
    with pytest.raises(ConfigError, match=r"store\.url"):
        await gradewatch.submit(PAPERS, EXAM / "rubric.yaml", config=bad)
    assert await store.jobs() == []


async def test_without_a_store_it_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SchemaMismatch, match="gradewatch migrate"):
        await gradewatch.submit(PAPERS, EXAM / "rubric.yaml")
