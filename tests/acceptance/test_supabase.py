"""Over PostgREST, with the real commands: a worker killed, PostgREST killed under everybody's hands."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import supabase_project
from chaos_kit import Scene, later, until
from supabase_project import SupabaseProject

from gradewatch.stores.supabase import SupabaseStore

pytestmark = pytest.mark.acceptance

AWAY = 3.0  # seconds: longer than the heartbeat timeout


class SupabaseScene(Scene):
    """A scene whose store is a Supabase project; the folder holds the logs alone."""

    def __init__(self, folder: Path, project: SupabaseProject) -> None:
        self.project = project
        super().__init__(folder)

    def _settle(self, folder: Path) -> None:
        self.url = self.environ["GRADEWATCH_STORE__URL"] = self.project.url
        self.environ["SUPABASE_SERVICE_ROLE_KEY"] = self.project.key
        self.store = SupabaseStore(self.project.url, self.project.key, timeout=10.0)  # type: ignore[assignment]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[SupabaseScene]:
    made = SupabaseScene(tmp_path, supabase_project.emptied())
    try:
        await made.open()
        yield made
    finally:
        await made.clear()


async def test_a_worker_killed_in_mid_job_loses_no_paper(scene: SupabaseScene) -> None:
    run = scene.start("run", WORKER__PROCESSES="2")
    await scene.workers(2)
    (job_id,) = await scene.submit(1, papers=80)
    job = await scene.half_way(job_id)
    killed = await scene.session_of(job)
    psutil.Process(killed.pid).kill()
    await scene.graded_once([job_id])
    done = await scene.job(job_id)
    assert (done.lost, done.attempt) == (1, 2)
    assert ("requeue", "applied", job_id) in await scene.story()
    await until(lambda: run.lines("worker restarted"), "the killed worker is started again")
    no_secret(scene)


async def test_postgrest_killed_and_started_again_blames_nobody(scene: SupabaseScene) -> None:
    """Many small jobs, so that it is in mid-claim and mid-write when it dies."""
    worker, watch = scene.start("worker", WORKER__SLOTS="2"), scene.start("watch")
    (session,) = await scene.workers(1)
    await watch.cycles(2)
    jobs = await scene.submit(40, papers=2)

    async def some_are_done() -> bool:
        stats = await scene.store.stats("default")
        return stats.finished_total["succeeded"] >= 5

    await until(some_are_done, "it is in the midst of it")
    await asyncio.to_thread(scene.project.rest.kill)
    await until(lambda: watch.lines("finding", code="store_unreachable"), "the watch says so")
    assert (await watch.get("/api/worker_status"))[0] == 503
    await watch.shows('gradewatch_store_up{store="supabase"}', 0)
    await until(later(AWAY), "the outage lasts")
    await asyncio.to_thread(scene.project.rest.start)
    await until(lambda: watch.lines("finding gone", code="store_unreachable"), "the watch says that it is over")
    await scene.graded_once(jobs)
    assert await scene.story() == [], "nobody was failed or taken back for it"
    assert [s.id for s in await scene.store.sessions()] == [session.id], "nor was its worker given up"
    assert worker.lines("store back")
    assert [c.kind for c in (await scene.store.control({})).credits][:1] == ["outage"]
    no_secret(scene)


async def test_a_key_that_is_revoked_is_told_and_nothing_is_repaired(scene: SupabaseScene) -> None:
    watch = scene.start("watch", TIMEOUTS__SCHEDULE_TO_START="1s")
    await watch.cycles(2)
    del scene.project.gateway.keys[scene.project.key]
    try:
        (finding,) = await until(lambda: watch.lines("finding", code="store_access_denied"), "the watch says so")
        assert "settings/api-keys" in finding["fix"]
        said = await scene.run("doctor", "--json", code=2)
        (told,) = [one for one in json.loads(said.stdout)["findings"] if one["code"] == "store_access_denied"]
        assert "does not know the key in SUPABASE_SERVICE_ROLE_KEY" in str(told["evidence"])
    finally:
        scene.project.gateway.keys[scene.project.key] = scene.project.key
    await until(lambda: watch.lines("finding gone", code="store_access_denied"), "it is over")
    no_secret(scene)


async def test_migrate_and_check_config_say_what_to_do(scene: SupabaseScene) -> None:
    key = scene.environ.pop("SUPABASE_SERVICE_ROLE_KEY")  # the SQL is needed before the key is
    printed = await scene.run("migrate", "--print")
    scene.environ["SUPABASE_SERVICE_ROLE_KEY"] = key
    assert "CREATE FUNCTION public.gradewatch_claim(" in printed.stdout
    scene.project.sql("UPDATE gradewatch.meta SET value = 'x' WHERE key = 'supabase_api'")
    try:
        refused = await scene.run("migrate", code=2)
        assert "PostgREST cannot create tables." in refused.stderr
        assert "Paste the output of `gradewatch migrate --print` into the SQL editor" in refused.stderr
    finally:
        scene.project.sql(printed.stdout)
        scene.project.sql(supabase_project.STEPPED)
    del scene.environ["SUPABASE_SERVICE_ROLE_KEY"]
    doubtful = await scene.run("check-config")
    assert "SUPABASE_SERVICE_ROLE_KEY is not set" in doubtful.stdout
    refused = await scene.run("doctor", code=2)
    assert "SUPABASE_SERVICE_ROLE_KEY is not set" in refused.stderr


def no_secret(scene: SupabaseScene) -> None:
    for service in scene.services:
        if service.process.poll() is None:
            service.kill(signal.SIGTERM)
        assert scene.project.key not in service.log.read_text()
