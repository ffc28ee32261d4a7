"""Queues that another application owns and works with its own loop: the incidents that this product was made for."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from chaos_kit import Scene, Service, until

sys.path.insert(0, str(Path(__file__).parents[1] / "stores"))  # the servers that the stores' tests start

import mongo_server
import postgres_server

pytestmark = pytest.mark.acceptance

SCRIPT = Path(__file__).with_name("foreign_workers.py")
QUICK = {"WATCH__INTERVAL": "250ms", "TIMEOUTS__HEARTBEAT": "2s"}


class Backend:
    """An application's MongoDB database, and the watch's settings for it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.name = f"backend_{uuid.uuid4().hex[:8]}"
        self.url = mongo_server.server().url(self.name)
        self.client = mongo_server.server().client(tz_aware=True)
        self.db = self.client[self.name]

    def watch(self, queue: str, *lines: str, **settings: str) -> Service:
        text = f'[queues.{queue}]\npreset = "mongo-{queue.replace("_", "-")}"\n' + "\n".join(lines)
        (self.scene.folder / "gradewatch.toml").write_text(text)
        return start_watch(self.scene, self.url, **settings)

    def add(self, collection: str, created: Any, **fields: Any) -> str:
        job = f"job-{uuid.uuid4().hex[:6]}"
        key = "task_id" if collection == "tasks" else "job_id"
        self.db[collection].insert_one({key: job, "status": "pending", "created_at": created, **fields})
        return job

    def task(self, task_id: str) -> dict[str, Any]:
        found = self.db.tasks.find_one({"task_id": task_id})
        assert found is not None
        return dict(found)

    def job(self, job_id: str) -> dict[str, Any]:
        found = self.db.grading_jobs.find_one({"job_id": job_id})
        assert found is not None
        return dict(found)

    def grading_job(self) -> str:
        now = datetime.now(UTC).isoformat()
        return self.add("grading_jobs", now, updated_at=now, total_papers=20, processed_papers=0, errors=[])


def start_watch(scene: Scene, url: str, **settings: str) -> Service:
    """A watch over the application's database, its own records in the scene's file."""
    return scene.start("watch", **QUICK, STORE__URL=url, STORE__RECORDS=scene.url, **settings)


@contextmanager
def worker(shape: str, url: str, name: str, *numbers: float) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, str(SCRIPT), shape, url, name, *map(str, numbers)])
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


def told(watch: Service, code: str) -> list[dict[str, Any]]:
    return watch.lines("finding", code=code)


@pytest.fixture
def backend(scene: Scene) -> Iterator[Backend]:
    made = Backend(scene)
    try:
        yield made
    finally:
        made.client.drop_database(made.name)
        made.client.close()


async def test_a_worker_that_was_never_deployed(scene: Scene, backend: Backend) -> None:
    """Jobs sat at "pending 0/30", and nobody knew."""
    now = datetime.now(UTC)
    ids = [backend.add("tasks", now, type="grade"), backend.add("tasks", now.isoformat(), type="grade")]
    watch = backend.watch("tasks", 'schedule_to_start = "4s"')
    (finding,) = await until(lambda: told(watch, "worker_never_seen"), "the watch tells that no worker was ever there")
    assert finding["subject"] == "tasks"
    assert {backend.task(task)["status"] for task in ids} == {"pending"}, "it is told before anything is done"

    await until(lambda: {backend.task(task)["status"] for task in ids} == {"failed"}, "they are failed")
    for task in ids:
        row = backend.task(task)
        assert "No worker has ever taken a job from tasks" in row["error"]
        assert type(row["completed_at"]) is type(row["created_at"])
    assert sorted(await scene.story()) == sorted(("expire", "applied", task) for task in ids)
    names = backend.db.list_collection_names()
    assert names == ["tasks"], "nothing of ours lies in the application's database"


async def test_a_worker_killed_in_the_middle_and_another_that_goes_on(scene: Scene, backend: Backend) -> None:
    job = backend.grading_job()
    watch = backend.watch("grading_jobs", 'heartbeat = "2s"')
    with worker("grading_jobs", backend.url, "w1", 24) as first:
        await until(lambda: backend.job(job)["processed_papers"] >= 1, "it is half way")
        await watch.cycles(3)
        first.kill()
        await until(lambda: backend.job(job)["status"] == "pending", "it is taken back")
    row = backend.job(job)
    assert (row["worker_id"], row["started_at"]) == (None, None)
    assert row["processed_papers"] >= 1, "how far it was is the worker's to use"
    [entry] = await scene.audit()
    assert (entry.action, entry.subject, entry.outcome.value) == ("requeue", job, "applied")
    assert "has neither moved nor beaten for" in entry.message
    with worker("grading_jobs", backend.url, "w2", 1):
        await until(lambda: backend.job(job)["status"] == "completed", "another worker finishes it")
        await watch.cycles(3)
    assert told(watch, "job_run_twice") == []


async def test_a_lost_job_is_failed_where_the_queue_says_so(scene: Scene, backend: Backend) -> None:
    job = backend.grading_job()
    watch = backend.watch("grading_jobs", 'heartbeat = "2s"', 'on_lost = "fail"')
    with worker("grading_jobs", backend.url, "w1", 24) as first:
        await until(lambda: backend.job(job)["processed_papers"] >= 1, "it is half way")
        await watch.cycles(2)
        first.kill()
        await until(lambda: backend.job(job)["status"] == "failed", "it is failed")
    [error] = backend.job(job)["errors"]
    assert "Its worker was lost" in error


async def test_a_worker_that_froze_and_came_back_writes_late(scene: Scene, backend: Backend) -> None:
    job = backend.grading_job()
    watch = backend.watch("grading_jobs", 'heartbeat = "2s"')
    with worker("grading_jobs", backend.url, "w1", 6) as frozen:
        await until(lambda: backend.job(job)["processed_papers"] >= 1, "it is half way")
        await watch.cycles(3)
        frozen.send_signal(signal.SIGSTOP)
        await until(lambda: backend.job(job)["status"] == "pending", "it is taken back")
        frozen.send_signal(signal.SIGCONT)
        (finding,) = await until(lambda: told(watch, "job_run_twice"), "its late write is told of")
    assert finding["subject"] == job
    status, body = await watch.get("/api/findings")
    assert status == 200
    assert "without having been claimed again" in body
    assert [outcome for _, outcome, _ in await scene.story()] == ["applied"], "what it wrote stands"


async def test_one_cycle_with_its_records_beside_the_applications_collections(scene: Scene, backend: Backend) -> None:
    """As it comes on MongoDB: collections of our own, made when somebody says so."""
    old = datetime.now(UTC) - timedelta(seconds=400)
    late, strange = backend.add("tasks", old.isoformat()), backend.add("tasks", "yesterday")
    (scene.folder / "gradewatch.toml").write_text('[queues.tasks]\npreset = "mongo-tasks"\n')
    refused = await scene.run("watch", "--once", code=2, STORE__URL=backend.url)
    assert "gradewatch migrate" in refused.stdout + refused.stderr
    assert backend.task(late)["status"] == "pending"
    await scene.run("migrate", STORE__URL=backend.url)
    await scene.run("watch", "--once", code=1, STORE__URL=backend.url)
    assert (backend.task(late)["status"], backend.task(strange)["status"]) == ("failed", "pending")
    doctor = json.loads((await scene.run("doctor", "--json", code=1, STORE__URL=backend.url)).stdout)
    (unreadable,) = [f for f in doctor["findings"] if f["code"] == "store_schema_mismatch"]
    assert strange in unreadable["evidence"][0]
    listed = await scene.run("audit", "--json", STORE__URL=backend.url)
    (entry,) = json.loads(listed.stdout)
    await scene.run("undo", entry["sweep"], STORE__URL=backend.url)
    assert backend.task(late)["status"] == "pending"
    ours = {name for name in backend.db.list_collection_names() if name.startswith("gradewatch_")}
    assert set(backend.db.list_collection_names()) - ours == {"tasks"}
    assert list(backend.db.tasks.index_information()) == ["_id_"]


async def test_two_workers_that_race_for_one_job(scene: Scene) -> None:
    server, name = postgres_server.server(), f"backend_{uuid.uuid4().hex[:8]}"
    server.sql(f"CREATE DATABASE {name}")
    url = server.url(name)
    with psycopg.connect(url, autocommit=True) as hand:
        hand.execute("""CREATE TABLE public.jobs (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), job_type text DEFAULT 'grading',
            status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'started', 'finished', 'failed')),
            priority int DEFAULT 0, job_data jsonb, progress int DEFAULT 0, status_message text, result jsonb,
            error_message text, error_traceback text, created_at timestamptz DEFAULT now(), started_at timestamptz,
            finished_at timestamptz, worker_id text, attempts int DEFAULT 0, max_attempts int DEFAULT 3)""")
        hand.execute("INSERT INTO public.jobs DEFAULT VALUES")
        (scene.folder / "gradewatch.toml").write_text('[queues.jobs]\npreset = "supabase-jobs"\n')
        watch = start_watch(scene, url)
        await watch.cycles(2)
        with worker("jobs", url, "w1", 1.5, 1.5), worker("jobs", url, "w2", 4, 1.5):
            (finding,) = await until(lambda: told(watch, "job_run_twice"), "double work is told of")
            [(job, worker_id)] = hand.execute("SELECT id::text, worker_id FROM public.jobs").fetchall()
        assert finding["subject"] == job
        assert worker_id in ("w1", "w2")
        assert await scene.story() == [], "it is told of, and nothing is done on a guess"
        [(tables,)] = hand.execute("SELECT array_agg(nspname::text) FROM pg_namespace WHERE nspname ~ 'gradewatch'")
        assert tables is None, "nothing of ours lies in the application's database"
