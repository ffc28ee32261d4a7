"""The GET routes: each status, and each answer held against the OpenAPI document."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from answers_schema import answer_faults
from builders import ago, finding, job_ref, queue_stats, report, session, snapshot, verdict
from faulty_store import Faulty
from served import Client, started

from gradewatch.board import Board
from gradewatch.config import QueueSettings, Settings
from gradewatch.config.foreign import PRESETS
from gradewatch.errors import AccessDenied, SchemaMismatch, StoreUnavailable
from gradewatch.http import make_app
from gradewatch.http.openapi import DOCUMENT
from gradewatch.http.status import trouble
from gradewatch.http.verdict import STUCK_AFTER
from gradewatch.http.wire import MAX_FINDINGS, encode, plain
from gradewatch.metrics.watch import WatchMetrics
from gradewatch.model import (
    Claimed,
    Code,
    Diagnosis,
    Finish,
    FinishKind,
    JobError,
    JobState,
    Known,
    PaperResult,
    QueueFacts,
    Severity,
    StoreFacts,
    Unknown,
    Verdict,
)


def idle(**changes: Any) -> Any:
    """A report of a queue where nothing waits."""
    stats = queue_stats(pending=0, oldest_pending_at=None, running=0, oldest_running_at=None)
    return report(snapshot([stats], mono=time.monotonic()), **changes)


# ---------------------------------------------------------------- every route


async def test_the_document_and_the_routes_are_the_same(client: Client, settings: Settings, store: Any) -> None:
    router = make_app(Board(), store, settings, WatchMetrics(settings, store="sqlite")).router
    served = {(r.method.lower(), r.resource.canonical) for r in router.routes() if r.method != "HEAD" and r.resource}
    described = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == described
    answer = await client.get("/api/openapi.json")
    assert (answer.status, answer.json) == (200, DOCUMENT)


def test_every_reference_and_path_parameter_of_the_document_exists() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert operation["summary"]
    text = encode(DOCUMENT).decode()
    for reference in set(text.split('"$ref":"#/components/schemas/')[1:]):
        assert reference.split('"')[0] in DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize("path", ["/", "/jobs/x", "/metrics", "/livez", "/api/jobs", "/nowhere", "/api/worker_status"])
async def test_every_answer_is_sealed_against_browsers(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Server"] == "gradewatch"
    assert not [name for name in headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/nowhere", 404),
        ("DELETE", "/api/jobs", 405),
        ("GET", "/api/pause", 405),
        ("PROPFIND", "/livez", 405),
    ],
)
async def test_what_is_not_there_says_so_as_json(client: Client, method: str, path: str, status: int) -> None:
    answer = await client.ask(method, path)
    code = {404: "not_found", 405: "method_not_allowed"}[status]
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert ("Allow" in answer.headers) == (status == 405)


async def test_a_stream_of_events_has_no_head_to_wait_for(client: Client) -> None:
    assert (await client.ask("HEAD", "/api/events")).status == 405


# ---------------------------------------------------------------- health


async def test_livez_fails_only_when_the_loop_has_not_ticked(client: Client) -> None:
    answer = await client.get("/livez")
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    client.board.last_tick_mono = time.monotonic() - STUCK_AFTER - 5
    answer = await client.get("/livez")
    assert answer.status == 503
    assert "has not ticked for 35 s" in answer.json["reason"]
    assert not answer_faults("/livez", "GET", 503, answer.json)
    client.board.tick()
    assert (await client.get("/livez")).status == 200


async def test_startupz_waits_for_the_first_cycle(client: Client) -> None:
    assert (await client.get("/startupz")).status == 503
    client.publish()
    assert (await client.get("/startupz")).status == 200


async def test_readyz_asks_the_store_once_for_many(store: Any, settings: Settings) -> None:
    faulty = Faulty(store)
    async for client in started(faulty, settings):
        answers = await asyncio.gather(*(client.get("/readyz") for _ in range(30)))
        assert {answer.status for answer in answers} == {200}
        assert faulty.calls["check"] == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (StoreUnavailable("disk I/O error"), "store_unreachable"),
        (AccessDenied("read-only file"), "store_access_denied"),
        (SchemaMismatch("tables are newer"), "store_schema_mismatch"),
    ],
)
async def test_readyz_says_why_the_store_is_not_there(
    store: Any, settings: Settings, fault: Exception, code: str
) -> None:
    async for client in started(Faulty(store, faults={"check": fault}), settings):
        answer = await client.get("/readyz")
        assert (answer.status, answer.json["error"]["code"]) == (503, code)
        assert answer.json["error"]["message"] == str(fault)
        assert answer.headers["Retry-After"] == "5"
        assert (await client.get("/livez")).status == 200  # no I/O: a dead store restarts nobody


async def test_an_error_that_knows_better_is_answered_with_its_own_fix(store: Any, settings: Settings) -> None:
    fault = AccessDenied("the key is revoked", fix="copy the new one")
    async for client in started(Faulty(store, faults={"check": fault}), settings):
        assert (await client.get("/readyz")).json["error"]["fix"] == "copy the new one"


async def test_a_store_that_hangs_is_not_ready_and_holds_nothing_else(
    store: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradewatch.http.app.READY_DEADLINE", 0.05)
    async for client in started(Faulty(store, hangs=("check",)), settings):
        answer = await client.get("/readyz")
        assert answer.status == 503
        assert "did not answer within 0.05 s" in answer.json["error"]["message"]


# ---------------------------------------------------------------- worker status

STATUS_KEYS = {
    "worker_configured",
    "worker_running",
    "workers",
    "recent_jobs",
    "status_counts",
    "oldest_stuck_job",
    "jobs",
    "findings",
}


async def test_worker_status_of_a_healthy_queue(client: Client) -> None:
    ids = await client.submit(7)
    claimed = await client.store.claim(await client.session(), ["default"], ["grade"], 1)
    error = JobError("unreadable", "the paper cannot be read")
    await client.store.finish([Finish(Claimed(claimed[0].id, claimed[0].token), FinishKind.FAIL, error=error)])
    client.publish(report(snapshot([queue_stats()], mono=time.monotonic())))
    answer = await client.get("/api/worker_status")
    assert answer.status == 200
    assert not answer_faults("/api/worker_status", "GET", 200, answer.json)
    assert set(answer.json) == STATUS_KEYS
    assert answer.json["worker_running"] is True
    assert answer.json["worker_configured"] is True
    assert answer.json["recent_jobs"] == 5
    assert [job["id"] for job in answer.json["jobs"]] == ids[:1:-1]
    assert answer.json["status_counts"] == {"pending": 3, "running": 2, "succeeded": 8, "failed": 2, "cancelled": 0}
    assert answer.json["oldest_stuck_job"] is None
    assert answer.json["workers"][0]["verdict"] == "alive"


async def test_worker_status_shows_why_a_job_failed(client: Client) -> None:
    await client.submit(1)
    claimed = await client.store.claim(await client.session(), ["default"], ["grade"], 1)
    error = JobError("unreadable", "the paper cannot be read")
    await client.store.finish([Finish(Claimed(claimed[0].id, claimed[0].token), FinishKind.FAIL, error=error)])
    client.publish(idle())
    (job,) = (await client.get("/api/worker_status")).json["jobs"]
    assert (job["status"], job["error_message"]) == ("failed", "the paper cannot be read")
    assert job["started_at"].endswith("Z")
    assert job["finished_at"].endswith("Z")


async def test_worker_status_without_a_worker_is_503_and_names_the_job_that_waits(client: Client) -> None:
    oldest, _ = await client.submit(2)
    found = [finding(Code.WORKER_NEVER_SEEN, summary="no worker has ever served the queue default")]
    bare = StoreFacts("sqlite", ago(0), 0.0, session_ever={"default": False})
    seen = snapshot(sessions=[], mono=time.monotonic(), store=Known(bare, time.monotonic()))
    client.publish(report(seen, verdicts=[], findings=found))
    answer = await client.get("/api/worker_status")
    assert answer.status == 503
    assert not answer_faults("/api/worker_status", "GET", 503, answer.json)
    assert set(answer.json) == STATUS_KEYS | {"error"}
    assert answer.json["worker_running"] is False
    assert answer.json["worker_configured"] is False
    assert answer.json["error"] == "no worker has ever served the queue default"
    assert answer.json["oldest_stuck_job"]["id"] == oldest
    assert answer.json["findings"][0]["code"] == "worker_never_seen"


async def test_a_rescue_worker_does_not_count_as_a_worker(client: Client) -> None:
    waiting, *_ = await client.submit(1)
    rescuer = session("r", queues=("rescue:default",))
    bare = StoreFacts("sqlite", ago(0), 0.0, session_ever={"default": False})
    seen = snapshot(sessions=[rescuer], mono=time.monotonic(), store=Known(bare, time.monotonic()))
    client.publish(
        report(seen, verdicts=[verdict(rescuer)], findings=[finding(Code.WORKER_NEVER_SEEN, summary="none")])
    )
    answer = await client.get("/api/worker_status")
    assert (answer.status, answer.json["worker_running"], answer.json["worker_configured"]) == (503, False, False)
    assert answer.json["error"] == "none; a rescue worker runs its jobs meanwhile"
    assert [worker["queues"] for worker in answer.json["workers"]] == [["rescue:default"]]
    assert answer.json["oldest_stuck_job"]["id"] == waiting


async def test_the_oldest_job_beyond_its_timeout_is_stuck_even_when_workers_live(client: Client) -> None:
    late, later = await client.submit(2)
    facts = QueueFacts(
        queue_stats(),
        overdue_pending=(job_ref(later, run_at=ago(400)),),
        held_by_absent=(job_ref(late, state=JobState.RUNNING, started_at=ago(500)),),
    )
    client.publish(report(snapshot([facts], mono=time.monotonic())))
    answer = await client.get("/api/worker_status")
    assert (answer.status, answer.json["oldest_stuck_job"]["id"]) == (200, late)


async def test_worker_status_before_the_first_cycle(client: Client) -> None:
    answer = await client.get("/api/worker_status")
    assert answer.status == 503
    assert "first cycle" in answer.json["error"]
    assert not answer_faults("/api/worker_status", "GET", 503, answer.json)


@pytest.mark.parametrize("part", ["store", "workers"])
async def test_worker_status_when_the_cycle_could_not_read(client: Client, part: str) -> None:
    client.publish(replace(idle(), snapshot=snapshot(**{part: Unknown("database is locked", 0.0)})))
    answer = await client.get("/api/worker_status")
    assert (answer.status, answer.json["worker_running"]) == (503, False)
    assert "database is locked" in answer.json["error"]


async def test_worker_status_of_a_cycle_that_stopped(client: Client) -> None:
    client.publish(idle())
    client.board.published_mono = time.monotonic() - 120
    answer = await client.get("/api/worker_status")
    assert answer.status == 503
    assert "the last cycle ended 120 s ago" in answer.json["error"]


async def test_worker_status_when_the_store_is_away(store: Any, settings: Settings) -> None:
    async for client in started(Faulty(store, faults={"jobs": StoreUnavailable("gone fishing")}), settings):
        client.publish(idle())
        answer = await client.get("/api/worker_status")
        assert (answer.status, answer.json["worker_running"]) == (503, False)
        assert "gone fishing" in answer.json["error"]
        assert answer.json["workers"][0]["name"] == "worker-s1"  # what was known is still told


async def test_a_hundred_pollers_cost_the_store_one_question(store: Any, settings: Settings) -> None:
    faulty = Faulty(store)
    async for client in started(faulty, settings):
        client.publish(idle())
        answers = await asyncio.gather(*(client.get("/api/worker_status") for _ in range(100)))
        assert {answer.status for answer in answers} == {200}
        assert faulty.calls["jobs"] == 1


async def test_workers_in_trouble_come_first_and_the_list_is_bounded(client: Client) -> None:
    many = [verdict(session(str(n))) for n in range(150)] + [verdict(session("x"), Verdict.DEAD)]
    client.publish(idle(verdicts=many))
    workers = (await client.get("/api/worker_status")).json["workers"]
    assert len(workers) == 100
    assert workers[0]["verdict"] == "dead"


# ---------------------------------------------------------------- jobs, findings, repairs


async def test_jobs_come_in_pages_newest_first(client: Client) -> None:
    ids = await client.submit(5)
    seen: list[str] = []
    before = ""
    while True:
        answer = await client.get(f"/api/jobs?limit=2&before={before}")
        assert answer.status == 200
        assert not answer_faults("/api/jobs", "GET", 200, answer.json)
        seen += [job["id"] for job in answer.json["jobs"]]
        before = answer.json["next"]
        if before is None:
            break
    assert seen == ids[::-1]
    assert "payload" not in answer.json["jobs"][0]


async def test_jobs_can_be_asked_for_by_queue_and_status(client: Client) -> None:
    await client.submit(2)
    (urgent,) = await client.submit(1, queue="urgent")
    assert [job["id"] for job in (await client.get("/api/jobs?queue=urgent")).json["jobs"]] == [urgent]
    assert len((await client.get("/api/jobs?status=pending")).json["jobs"]) == 3
    assert (await client.get("/api/jobs?status=running")).json["jobs"] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=201",
        "limit=1e999",
        "limit=" + "9" * 5000,
        "limit=٣",
        "limit=²",
        "status=lost",
        "queue=%00",
        "queue=" + "q" * 300,
        "before=%0a",
    ],
)
async def test_a_senseless_query_is_told_what_would_be_right(client: Client, query: str) -> None:
    answer = await client.get(f"/api/jobs?{query}")
    assert answer.status == 400
    assert not answer_faults("/api/jobs", "GET", 400, answer.json)


async def test_one_job_comes_with_its_papers(client: Client) -> None:
    (job_id,) = await client.submit(1, payload={"rubric": {"q": [1, 2]}}, progress_total=2)
    (job,) = await client.store.claim(await client.session(), ["default"], ["grade"], 1)
    paper = PaperResult(0, "ann.pdf", "graded", 7.5, 10.0, {"confidence": 0.9})
    await client.store.save_paper(Claimed(job.id, job.token), paper)
    answer = await client.get(f"/api/jobs/{job_id}")
    assert answer.status == 200
    assert not answer_faults("/api/jobs/{id}", "GET", 200, answer.json)
    assert answer.json["payload"] == {"rubric": {"q": [1, 2]}}
    assert answer.json["progress"] == {"done": 1, "total": 2}
    assert (answer.json["papers"][0]["name"], answer.json["papers"][0]["marks"]) == ("ann.pdf", 7.5)


@pytest.mark.parametrize(("job_id", "status"), [("nobody", 404), ("%00", 400), ("x" * 300, 400), ("%ff", 404)])
async def test_a_job_that_is_not_there(client: Client, job_id: str, status: int) -> None:
    answer = await client.get(f"/api/jobs/{job_id}")
    assert answer.status == status
    assert not answer_faults("/api/jobs/{id}", "GET", status, answer.json)


def test_what_others_stored_becomes_json_whatever_it_is() -> None:
    deep: Any = "core"
    for _ in range(200):
        deep = [deep]
    odd = {1: float("nan"), "inf": float("-inf"), "lone": "\udcff", "bytes": b"\xff", "at": ago(0), "deep": deep}
    assert encode(plain(odd)).isascii()
    assert plain(odd)["1"] is None
    assert plain(odd)["at"] == "2026-03-02T09:00:00.000Z"


async def test_findings_come_with_their_fix_and_before_the_first_cycle_503(client: Client) -> None:
    answer = await client.get("/api/findings")
    assert (answer.status, answer.json["error"]["code"]) == (503, "no_cycle_yet")
    client.publish(idle(findings=[finding()]))
    answer = await client.get("/api/findings")
    assert answer.status == 200
    assert not answer_faults("/api/findings", "GET", 200, answer.json)
    (found,) = answer.json["findings"]
    assert (found["code"], found["fix"], found["command"]) == (
        "worker_not_running",
        "start a worker",
        "gradewatch worker",
    )
    assert found["runbook"] == "docs/runbooks/worker_not_running.md"


async def test_findings_are_bounded(client: Client) -> None:
    client.publish(idle(findings=[finding(subject=str(n)) for n in range(MAX_FINDINGS + 100)]))
    answer = await client.get("/api/findings")
    assert (len(answer.json["findings"]), answer.json["total"]) == (MAX_FINDINGS, MAX_FINDINGS + 100)


async def test_repairs_come_in_pages(client: Client) -> None:
    for job_id in await client.submit(3):
        await client.store.operate(job_id, "cancel", by="test", sweep="s-1", message="no longer needed")
    first = await client.get("/api/remediations?limit=2")
    assert first.status == 200
    assert not answer_faults("/api/remediations", "GET", 200, first.json)
    second = await client.get(f"/api/remediations?limit=2&before={first.json['next']}&sweep=s-1")
    lines = first.json["remediations"] + second.json["remediations"]
    assert [line["action"] for line in lines] == ["cancel"] * 3
    assert second.json["next"] is None
    assert "before" not in lines[0]
    for senseless in ("before=x", "before=0", "before=99999999999999999999", "limit=x"):
        assert (await client.get(f"/api/remediations?{senseless}")).status == 400


# ---------------------------------------------------------------- metrics


async def test_metrics_are_served_in_the_format_asked_for(client: Client) -> None:
    client.publish()
    async with asyncio.timeout(5):
        while b'gradewatch_queue_depth{queue="default"' not in (await client.get("/metrics")).body:
            await asyncio.sleep(0.005)
    plain_text = await client.get("/metrics")
    assert plain_text.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    openmetrics = await client.get("/metrics", headers=accept)
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.body.endswith(b"# EOF\n")


async def test_metrics_never_touch_the_store(store: Any, settings: Settings) -> None:
    faulty = Faulty(store)
    async for client in started(faulty, settings):
        assert (await client.get("/metrics")).status == 200
        assert (await client.get("/livez")).status == 200
        assert not faulty.calls


# ---------------------------------------------------------------- queues of other applications


@pytest.mark.parametrize(("ever", "code", "speaks"), [(True, None, True), (False, None, False), (True, "gone", False)])
def test_a_queue_of_another_application_counts_as_worked_on_while_nothing_speaks_against_it(
    ever: bool, code: str | None, speaks: bool
) -> None:
    mapped = QueueSettings("default", foreign=PRESETS["supabase-jobs"].settings)
    seen = replace(
        idle().snapshot, store=Known(StoreFacts("postgres", ago(0), 0.0, session_ever={"default": ever}), 1.0)
    )
    findings = (finding(Code.WORKER_NOT_RUNNING, severity=Severity.CRITICAL, queue="default"),) if code else ()
    said = trouble(
        replace(idle(), snapshot=seen, diagnosis=Diagnosis((), findings)), 0.0, Settings(queues={"default": mapped})
    )
    assert (said == "") is speaks
