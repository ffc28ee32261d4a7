"""What the status page asks for: held against the OpenAPI document, shared by all who ask, fresh after each cycle."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from answers_schema import answer_faults
from builders import finding, queue_stats, report, session, snapshot, verdict
from faulty_store import Faulty
from served import Client, started

from gradewatch.config import Settings
from gradewatch.errors import StoreUnavailable
from gradewatch.http.shared import Shared
from gradewatch.model import (
    Action,
    ActionKind,
    Claimed,
    Code,
    JobError,
    JobRef,
    JobState,
    Known,
    NewJob,
    PaperResult,
    Severity,
    Unknown,
    Verdict,
)


async def overview(client: Client) -> Any:
    answer = await client.get("/api/overview")
    assert answer.status == 200
    assert answer_faults("/api/overview", "GET", 200, answer.json) == []
    return answer.json


async def running_job(client: Client) -> Any:
    """A job of three papers, one of them graded, in the hands of w1."""
    papers = {"papers": [{"name": f"{n}.pdf"} for n in range(3)]}
    await client.store.submit([NewJob("grade", papers, progress_total=3)])
    held = await client.session("w1")
    (job,) = await client.store.claim(held, ["default"], ["grade"], 1)
    await client.store.save_paper(Claimed(job.id, job.token), PaperResult(0, "0.pdf", "graded", 1.0, 2.0, {}))
    return job


async def test_the_overview_of_an_eventful_day_is_as_the_document_says(client: Client) -> None:
    assert (await overview(client))["health"]["level"] == "unknown"
    job = await running_job(client)
    ref = JobRef(job.id, "default", "grade", JobState.RUNNING, job.token, 1, 3, 0, job.session_id, job.run_at, None)
    now = time.monotonic()
    held = await client.store.pause(60.0, by="me", reason="why")
    own = session(job.session_id, name="w1")
    found = [finding(), finding(Code.CLOCK_SKEW, "store", queue=None, severity=Severity.INFO)]
    seen = snapshot([queue_stats(), queue_stats("urgent")], sessions=[own], mono=now)
    client.publish(report(seen, verdicts=[verdict(own)], findings=found))
    told = await overview(client)
    (worker,) = told["workers"]["workers"]
    assert worker["jobs"] == [{"id": job.id, "done": 1, "total": 3}]
    assert (told["health"]["level"], told["findings_total"], told["watch"]["pause"]) == ("critical", 2, None)
    assert told["jobs"][0]["progress"] == {"done": 1, "total": 3}

    action = Action(ActionKind.REQUEUE, "default", Code.WORKER_NOT_RUNNING, "gone", job=ref)
    await client.store.repair([action], sweep="s", by="watch")
    control = await client.store.control({})
    client.publish(report(snapshot(mono=now, control=Known(control, now)), findings=[]))
    told = await overview(client)
    assert told["watch"]["pause"]["until"] == held.until.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert {one["kind"] for one in told["timeline"]} == {"finding", "cleared", "repair"}

    gone = Unknown("no answer", now, Code.STORE_UNREACHABLE)
    client.publish(report(snapshot([gone], store=gone, workers=gone, control=gone, mono=now), verdicts=[]))
    told = await overview(client)
    assert (told["store"]["reachable"], told["store"]["reason"]) == (False, "no answer")
    assert told["queues"][0]["unread"] == "no answer"


async def test_its_age_is_told_beside_it(client: Client) -> None:
    client.publish()
    client.board.published_mono -= 7.0
    age = float((await client.get("/api/overview")).headers["Gradewatch-Age"])
    assert 7.0 <= age < 9.0


async def test_a_hundred_pages_cost_the_store_one_question_a_cycle(store: Any, settings: Settings) -> None:
    faulty = Faulty(store)
    async for client in started(faulty, settings):
        for _ in range(2):
            client.publish()
            await asyncio.gather(*(client.get("/api/overview") for _ in range(100)))
        assert faulty.calls["audit"] == 2


async def test_whoever_gave_an_order_sees_what_came_of_it(client: Client) -> None:
    """Even where the answer of a moment ago is still kept, and no cycle has followed yet."""
    client.publish()
    [job_id] = await client.submit()
    await client.store.operate(job_id, "cancel", by="me", sweep="s", message="m")
    assert (await overview(client))["jobs"][0]["status"] == "cancelled"
    assert (await client.post(f"/api/jobs/{job_id}/requeue")).status == 200
    assert (await overview(client))["jobs"][0]["status"] == "pending"


@pytest.mark.parametrize("fault", [StoreUnavailable("the disk is full"), RuntimeError("ours")])
async def test_what_the_store_said_last_is_shown_while_it_says_nothing(
    store: Any, settings: Settings, fault: Exception
) -> None:
    faulty = Faulty(store)
    async for client in started(faulty, settings):
        [job_id] = await client.submit()
        client.publish()
        assert (await overview(client))["lookup_failed"] == ""
        faulty.faults["jobs"] = fault
        client.publish()
        told = await overview(client)
        assert told["jobs"][0]["id"] == job_id
        assert told["lookup_failed"]
        assert ("disk is full" in told["lookup_failed"]) == isinstance(fault, StoreUnavailable)


async def test_workers_are_found_by_a_part_of_their_name(client: Client) -> None:
    verdicts = [verdict(session(f"s{n}", name=f"grader-{n}"), Verdict.ALIVE if n else Verdict.DEAD) for n in range(9)]
    client.publish(report(snapshot(sessions=[v.session for v in verdicts]), verdicts=verdicts))
    answer = await client.get("/api/workers?match=GRADER-7")
    assert answer_faults("/api/workers", "GET", 200, answer.json) == []
    assert [worker["name"] for worker in answer.json["workers"]] == ["grader-7"]
    assert (answer.json["total"], answer.json["matching"]) == (9, 1)
    answer = await client.get("/api/workers?limit=2")
    assert [worker["name"] for worker in answer.json["workers"]] == ["grader-0", "grader-1"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "match=%00", f"match={'x' * 201}"])
async def test_a_senseless_search_is_refused(client: Client, query: str) -> None:
    answer = await client.get(f"/api/workers?{query}")
    assert answer.status == 400
    assert answer_faults("/api/workers", "GET", 400, answer.json) == []


async def test_a_job_with_every_paper_those_to_come_included(client: Client) -> None:
    job = await running_job(client)
    bad = PaperResult(2, "2.pdf", "failed", None, 2.0, {}, JobError("paper_unreadable", "no PDF"))
    await client.store.save_paper(Claimed(job.id, job.token), bad)
    answer = await client.get(f"/api/jobs/{job.id}/papers")
    assert answer_faults("/api/jobs/{id}/papers", "GET", 200, answer.json) == []
    papers = [(paper["name"], paper["status"], paper["error"]) for paper in answer.json["papers"]]
    assert papers == [("0.pdf", "graded", None), ("1.pdf", "waiting", None), ("2.pdf", "failed", "no PDF")]
    answer = await client.get("/api/jobs/nowhere/papers")
    assert answer.status == 404
    assert answer_faults("/api/jobs/{id}/papers", "GET", 404, answer.json) == []


@pytest.mark.parametrize("payload", [{}, {"papers": "none"}, {"papers": [1, None, {"name": 5}]}, {"papers": {"a": 1}}])
async def test_a_payload_of_another_form_is_no_matter(client: Client, payload: dict[str, Any]) -> None:
    [job_id] = await client.store.submit([NewJob("other", payload, progress_total=2)])
    answer = await client.get(f"/api/jobs/{job_id}/papers")
    assert answer.status == 200
    assert answer_faults("/api/jobs/{id}/papers", "GET", 200, answer.json) == []
    assert answer.json["papers_total"] == max(
        2, len(payload.get("papers", [])) if isinstance(payload.get("papers"), list) else 0
    )
    assert (await client.get(f"/jobs/{job_id}")).status == 200


async def test_a_forgotten_answer_is_asked_for_anew_and_one_in_flight_serves_its_askers() -> None:
    asked, gate = 0, asyncio.Event()

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await gate.wait()
        return asked

    shared = Shared(ask, ttl=60.0, deadline=5.0)
    waiting = asyncio.create_task(shared.get())
    await asyncio.sleep(0)
    shared.forget()
    gate.set()
    assert await waiting == 1
    assert [await shared.get(), await shared.get()] == [2, 2]
    shared.forget()
    assert await shared.get() == 3
