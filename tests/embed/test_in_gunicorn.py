"""The Flask blueprint in real gunicorn workers, which are forked after the application was made."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from embed_kit import Place, Server, until

from gradewatch.model import JobState, NewSession


async def from_each(server: Server, path: str, count: int = 2) -> dict[int, tuple[int, str]]:
    """The answer of each worker process, by its pid."""
    answers: dict[int, tuple[int, str]] = {}

    async def all_of_them() -> bool:
        answers.update(await asyncio.gather(*(asyncio.to_thread(signed, server, path) for _ in range(4))))
        return len(answers) >= count

    await until(all_of_them, f"{count} processes answer")
    return answers


def signed(server: Server, path: str) -> tuple[int, tuple[int, str]]:
    try:
        with urllib.request.urlopen(server.url + path, timeout=20) as answer:
            return int(answer.headers["X-Pid"]), (answer.status, answer.read().decode())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return int(refusal.headers["X-Pid"]), (refusal.code, refusal.read().decode())


def samples(text: str) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_two_workers_say_the_same_and_it_is_right(place: Place) -> None:
    server = place.gunicorn(2, GRADEWATCH_TIMEOUTS__HEARTBEAT="5m")  # one beat must do for the whole test
    await server.serves("/livez")
    await place.submit(jobs=3)
    session = await place.store.open_session(NewSession("their-worker", ("default",), 1, "host-1", 7, "1"))
    [job] = await place.store.claim(session, ["default"], ["grade"], 1)
    await place.store.beat(session, loop_age=0.0, busy=1)
    await asyncio.sleep(1.1)  # the answers that were given before are good for a second

    codes, depths = set(), set()
    for _ in range(12):
        code, body = await asyncio.to_thread(server.get, "/api/worker_status")
        status = json.loads(body)
        codes.add((code, status["worker_running"], status["status_counts"]["pending"]))
        found = samples((await asyncio.to_thread(server.get, "/metrics"))[1])
        depths.add(
            tuple(found[f'gradewatch_queue_depth{{queue="default",state="{s}"}}'] for s in ("pending", "running"))
        )
    assert not {"gradewatch_leader", "gradewatch_cycle_last_timestamp_seconds"} & found.keys(), "no watch is here"
    assert codes == {(200, True, 2)}
    assert depths == {(2.0, 1.0)}
    assert status["workers"][0]["name"] == "their-worker"
    assert {entry["id"] for entry in status["jobs"]} >= {job.id}
    assert len(await from_each(server, "/readyz")) == 2


async def test_nobody_there_is_a_503_with_the_cause(place: Place) -> None:
    server = place.gunicorn(2)
    await server.serves("/livez")
    [job_id] = await place.submit()
    await asyncio.sleep(1.1)
    for code, body in (await from_each(server, "/api/worker_status")).values():
        status = json.loads(body)
        assert (code, status["worker_running"], status["worker_configured"]) == (503, False, False)
        assert "No worker has ever been seen on default" in status["error"]
        assert status["oldest_stuck_job"]["id"] == job_id
        assert [finding["code"] for finding in status["findings"]] == ["worker_never_seen"]


async def test_a_store_that_is_away_is_told_at_once_and_comes_back(place: Place) -> None:
    server = place.gunicorn(2)
    await server.serves("/livez")
    assert (await asyncio.to_thread(server.get, "/readyz"))[0] == 200
    away = place.database.rename(place.folder / "away.db")
    await until(lambda: server.get("/readyz")[0] == 503, "it is away")
    began = time.monotonic()
    code, status = await asyncio.to_thread(server.status)
    assert (code, status["worker_running"]) == (503, False)
    assert "store" in status["error"]
    found = samples((await asyncio.to_thread(server.get, "/metrics"))[1])
    assert found['gradewatch_store_up{store="sqlite"}'] == 0.0
    assert not [name for name in found if name.startswith("gradewatch_jobs_finished_total")], "no total from memory"
    assert time.monotonic() - began < 10
    assert (await asyncio.to_thread(server.get, "/livez"))[0] == 200
    away.rename(place.database)
    await until(lambda: server.get("/readyz")[0] == 200, "it is back")
    server.tell(signal.SIGTERM)
    assert await server.ended(10) == 0


async def test_many_requests_ask_the_store_once_a_second(place: Place) -> None:
    """What was answered is good for a second, in each process: a change shows late, and a rush costs nothing."""
    server = place.gunicorn(1)
    await server.serves("/livez")

    async def counted() -> int:
        _, status = await asyncio.to_thread(server.status)
        return int(status["status_counts"]["pending"])

    assert await counted() == 0
    rush = asyncio.gather(*(counted() for _ in range(40)))
    await place.submit(jobs=5)
    assert set(await rush) <= {0, 5}
    await until(lambda: server.status()[1]["status_counts"]["pending"] == 5, "the change shows", seconds=5)
    assert {job.state for job in await place.store.jobs()} == {JobState.PENDING}


async def test_preloaded_and_forked_it_has_no_thread_of_its_parent(place: Place) -> None:
    server = place.gunicorn(2, "--preload")
    await server.serves("/livez")
    answers = await from_each(server, "/readyz")
    assert [code for code, _ in answers.values()] == [200, 200]


FORKS = """
import os
from apps.flasky import app
assert app.test_client().get("/readyz").status_code == 200
if child := os.fork():
    _, ended = os.waitpid(child, 0)
    print(app.test_client().get("/readyz").status_code, os.waitstatus_to_exitcode(ended))
else:
    os._exit(0 if app.test_client().get("/readyz").status_code == 200 else 1)
"""


async def test_a_process_that_was_asked_before_it_forked_leaves_its_child_nothing(place: Place) -> None:
    """The child has none of its parent's threads: a loop taken over from it would never answer."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FORKS],
        cwd=place.folder,
        env=place.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["200", "0"], done.stderr


async def test_the_same_on_postgresql(place_on_postgres: Place) -> None:
    place = place_on_postgres
    server = place.gunicorn(2)
    await server.serves("/livez")
    await place.submit(jobs=2)
    await asyncio.sleep(1.1)  # the answers that were given before are good for a second
    for code, body in (await from_each(server, "/api/worker_status")).values():
        assert (code, json.loads(body)["status_counts"]["pending"]) == (503, 2)
    for _, text in (await from_each(server, "/metrics")).values():
        assert samples(text)['gradewatch_queue_depth{queue="default",state="pending"}'] == 2.0
    server.tell(signal.SIGTERM)
    assert await server.ended(10) == 0
