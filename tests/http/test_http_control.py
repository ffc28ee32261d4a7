"""The POST routes: who may, what is done, and that the cycle is woken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from answers_schema import answer_faults
from builders import finding, report
from faulty_store import Faulty
from served import TOKEN, Client, started

from gradewatch.config import HttpSettings, Settings
from gradewatch.errors import StoreUnavailable
from gradewatch.http import external
from gradewatch.http.control import ROUTES
from gradewatch.model import JobState

PATHS = [route.path.format(id="j", worker="w") for route in ROUTES if hasattr(route, "path")] + ["/api/alerts"]


# ---------------------------------------------------------------- who may


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_can_be_changed_while_no_token_is_set(store: Any, settings: Settings, path: str) -> None:
    async for client in started(store, replace(settings, http=HttpSettings(token=""))):
        for token in (None, "", "guess"):
            answer = await client.post(path, token=token)
            assert (answer.status, answer.json["error"]["code"]) == (403, "writes_are_off")
            assert "GRADEWATCH_HTTP__TOKEN" in answer.json["error"]["fix"]
        assert client.woken == []


@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_or_missing_token_is_turned_away(client: Client, path: str) -> None:
    for header in (
        None,
        "",
        TOKEN,
        f"Basic {TOKEN}",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        "Bearer café",
        "Bearer \udcff",
    ):
        headers = {} if header is None else {"Authorization": header}
        if header is not None and not header.isascii():
            headers = {"Authorization": header.encode("utf-8", "surrogateescape").decode("utf-8", "replace")}
        answer = await client.ask("POST", path, headers=headers)
        assert (answer.status, answer.json["error"]["code"]) == (401, "unauthorized"), header
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert TOKEN.encode() not in answer.body
    assert client.woken == []


async def test_the_scheme_is_read_in_any_case(client: Client) -> None:
    answer = await client.ask("POST", "/api/resume", headers={"Authorization": f"bearer {TOKEN}"})
    assert answer.status == 200


# ---------------------------------------------------------------- pause, resume, undo


async def test_pause_until_and_resume(client: Client) -> None:
    answer = await client.post("/api/pause", {"for": "30m", "reason": "moving the database"})
    assert answer.status == 200
    assert not answer_faults("/api/pause", "POST", 200, answer.json)
    facts = await client.store.control({})
    assert facts.pause is not None
    assert (facts.pause.reason, facts.pause.by) == ("moving the database", "http")
    assert (facts.pause.until - facts.pause.started_at).total_seconds() == pytest.approx(1800, abs=1)
    answer = await client.post("/api/resume")
    assert not answer_faults("/api/resume", "POST", 200, answer.json)
    assert answer.json == {"paused": False, "was_paused": True}
    assert (await client.post("/api/resume")).json["was_paused"] is False
    assert (await client.store.control({})).pause is None
    assert client.woken == ["repairs were paused", "repairs were resumed", "repairs were resumed"]


async def test_pause_without_a_length_lasts_until_somebody_resumes(client: Client) -> None:
    answer = await client.post("/api/pause")
    assert (answer.status, answer.json["until"]) == (200, None)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"for": "soon"}, "duration"),
        ({"for": "0s"}, "longer than nothing"),
        ({"for": "-5"}, "longer than nothing"),
        ({"for": "99999999d"}, "ten years"),
        ({"for": 30}, "printable"),
        ({"for": ["30m"]}, "printable"),
        ({"fro": "30m"}, "did you mean for?"),
        ({"reason": "a\x00b"}, "printable"),
        ({"reason": "x" * 501}, "500"),
        ({"reason": "\udcff"}, "printable"),
        ([], "no object"),
        ("30m", "no object"),
    ],
)
async def test_a_pause_that_makes_no_sense_pauses_nothing(client: Client, body: Any, says: str) -> None:
    answer = await client.post("/api/pause", body)
    assert answer.status == 400
    assert says in answer.json["error"]["message"]
    assert (await client.store.control({})).pause is None
    assert client.woken == []


async def test_undo_puts_back_what_is_as_we_left_it(client: Client) -> None:
    one, two = await client.submit(2)
    for job_id in (one, two):
        await client.store.operate(job_id, "cancel", by="test", sweep="s-9", message="by mistake")
    await client.store.operate(two, "requeue", by="test", sweep="s-10", message="somebody was faster")
    answer = await client.post("/api/undo", {"sweep": "s-9"})
    assert answer.status == 200
    assert not answer_faults("/api/undo", "POST", 200, answer.json)
    assert (answer.json["undone"], answer.json["left"]) == (1, 1)
    assert (await client.store.job(one)).state is JobState.PENDING
    assert client.woken == ["a sweep was undone"]


@pytest.mark.parametrize(("body", "status"), [({"sweep": "nothing"}, 404), ({}, 400), ({"sweep": 7}, 400)])
async def test_undo_of_nothing(client: Client, body: Any, status: int) -> None:
    answer = await client.post("/api/undo", body)
    assert answer.status == status
    assert not answer_faults("/api/undo", "POST", status, answer.json)
    assert client.woken == []


# ---------------------------------------------------------------- verbs on a job


@pytest.mark.parametrize(("verb", "after"), [("cancel", JobState.CANCELLED), ("fail", JobState.FAILED)])
async def test_a_job_is_ended_by_hand_and_the_audit_says_by_whom(client: Client, verb: str, after: JobState) -> None:
    (job_id,) = await client.submit(1)
    answer = await client.post(f"/api/jobs/{job_id}/{verb}", {"reason": "asked by the school"})
    assert answer.status == 200
    assert not answer_faults(f"/api/jobs/{{id}}/{verb}", "POST", 200, answer.json)
    assert answer.json["job"]["status"] == after.value
    assert (await client.store.job(job_id)).state is after
    (entry,) = await client.store.audit(sweep=answer.json["sweep"])
    assert (entry.by, entry.message, entry.subject) == ("http", "asked by the school", job_id)
    assert client.woken == [f"{verb} of a job by hand"]


async def test_requeue_of_a_failed_job_and_conflict_otherwise(client: Client) -> None:
    (job_id,) = await client.submit(1)
    await client.post(f"/api/jobs/{job_id}/cancel")
    assert (await client.post(f"/api/jobs/{job_id}/requeue")).status == 200
    await client.post(f"/api/jobs/{job_id}/cancel")
    answer = await client.post(f"/api/jobs/{job_id}/cancel")
    assert (answer.status, answer.json["error"]["code"]) == (409, "conflict")
    assert not answer_faults("/api/jobs/{id}/cancel", "POST", 409, answer.json)


@pytest.mark.parametrize(("job_id", "status"), [("nobody", 404), ("%00", 400), ("x" * 201, 400)])
async def test_a_verb_on_no_job(client: Client, job_id: str, status: int) -> None:
    assert (await client.post(f"/api/jobs/{job_id}/cancel")).status == status


async def test_a_store_that_is_away_is_503_and_nobody_is_woken(store: Any, settings: Settings) -> None:
    faults = {name: StoreUnavailable("gone") for name in ("pause", "resume", "undo", "operate", "sessions")}
    async for client in started(Faulty(store, faults=faults), settings):
        for path, body in [
            ("/api/pause", {}),
            ("/api/resume", {}),
            ("/api/undo", {"sweep": "s"}),
            ("/api/jobs/j/fail", {}),
            ("/api/heartbeat/w", {}),
        ]:
            answer = await client.post(path, body)
            assert (answer.status, answer.json["error"]["code"]) == (503, "store_unreachable"), path
            assert "Retry-After" in answer.headers
        assert client.woken == []


async def test_a_store_that_hangs_meets_the_deadline(
    store: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradewatch.http.problems.DEADLINE", 0.05)
    async for client in started(Faulty(store, hangs=("resume",)), settings):
        answer = await client.post("/api/resume")
        assert (answer.status, answer.json["error"]["code"]) == (503, "deadline")


async def test_a_fault_of_ours_is_500_without_its_reason(store: Any, settings: Settings) -> None:
    async for client in started(Faulty(store, faults={"resume": ZeroDivisionError("secret detail")}), settings):
        answer = await client.post("/api/resume")
        assert (answer.status, answer.json["error"]["code"]) == (500, "internal")
        assert b"secret detail" not in answer.body


# ---------------------------------------------------------------- beats of others


async def test_a_first_beat_opens_a_session_and_the_next_beats_it(client: Client) -> None:
    answer = await client.post("/api/heartbeat/go-worker.1", {"slots": 4, "busy": 3})
    assert answer.status == 200
    assert not answer_faults("/api/heartbeat/{worker}", "POST", 200, answer.json)
    again = await client.post("/api/heartbeat/go-worker.1", {"busy": 1})
    assert again.json["session"] == answer.json["session"]
    (session,) = await client.store.sessions()
    assert (session.name, session.queues, session.slots, session.busy) == ("go-worker.1", ("default",), 4, 1)
    assert session.ended_at is None
    first = session.beats
    await client.post("/api/heartbeat/go-worker.1")
    (session,) = await client.store.sessions()
    assert session.beats == first + 1


async def test_a_beat_tells_of_the_loop_and_of_the_end(client: Client) -> None:
    await client.post("/api/heartbeat/w", {"loop_age": 12.5})
    (session,) = await client.store.sessions()
    assert (session.loop_age, session.ended_at) == (12.5, None)
    last = await client.post("/api/heartbeat/w", {"end": "crashed: KeyError at tasks.py:41 in step"})
    assert last.json["session"] == session.id
    (ended,) = await client.store.sessions()
    assert ended.end_reason == "crashed: KeyError at tasks.py:41 in step"
    again = await client.post("/api/heartbeat/w")
    assert again.json["session"] != session.id, "a worker that comes back is a new one"


async def test_another_queue_or_size_is_another_session(client: Client) -> None:
    await client.post("/api/heartbeat/w")
    answer = await client.post("/api/heartbeat/w", {"queue": "urgent"})
    sessions = await client.store.sessions()
    (now,) = [s for s in sessions if s.ended_at is None]
    assert (now.id, now.queues) == (answer.json["session"], ("urgent",))
    assert len(sessions) == 2


async def test_a_session_that_was_ended_is_opened_anew(client: Client) -> None:
    first = (await client.post("/api/heartbeat/w")).json["session"]
    await client.store.end_session(first, "given up")
    second = (await client.post("/api/heartbeat/w")).json["session"]
    assert second != first
    assert (await client.post("/api/heartbeat/w")).json["session"] == second


async def test_a_restart_of_this_process_goes_on_with_the_same_session(store: Any, settings: Settings) -> None:
    sessions = set()
    for _ in range(2):
        async for client in started(store, settings):
            sessions.add((await client.post("/api/heartbeat/w", {"slots": 3})).json["session"])
    assert len(sessions) == 1


async def test_the_session_of_a_real_worker_of_that_name_is_left_alone(client: Client) -> None:
    own = await client.session("w")
    assert (await client.post("/api/heartbeat/w")).json["session"] != own


@pytest.mark.parametrize("name", ["a b", "é", "x" * 101, "%00", "a%2Fb", "w\u202e", "%ff"])
async def test_a_workers_name_is_plain(client: Client, name: str) -> None:
    answer = await client.post(f"/api/heartbeat/{name}")
    assert answer.status == 400
    assert await client.store.sessions() == []


@pytest.mark.parametrize(
    "body",
    [
        {"slots": 0},
        {"slots": True},
        {"slots": 1.5},
        {"busy": -1},
        {"busy": 10**30},
        {"queue": 5},
        {"queue": "tasks"},
        {"loop_age": -1},
        {"loop_age": True},
        {"loop_age": 1e12},
        {"end": 5},
        {"end": "x" * 501},
    ],
)
async def test_a_beat_that_makes_no_sense_opens_nothing(client: Client, body: Any) -> None:
    answer = await client.post("/api/heartbeat/w", body)
    assert answer.status == 400
    assert await client.store.sessions() == []


async def test_only_so_many_external_workers_are_remembered(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external, "MAX_WORKERS", 3)
    for n in range(3):
        assert (await client.post(f"/api/heartbeat/w{n}")).status == 200
    answer = await client.post("/api/heartbeat/w3")
    assert (answer.status, answer.json["error"]["code"]) == (429, "too_many_workers")
    assert (await client.post("/api/heartbeat/w2")).status == 200  # those known go on
    monkeypatch.setattr(external, "FORGET_AFTER", 0.0)
    assert (await client.post("/api/heartbeat/w3")).status == 200  # the silent are forgotten for a new one


# ---------------------------------------------------------------- alerts


def message(*alerts: dict[str, Any]) -> dict[str, Any]:
    """Alertmanager's webhook, as its documentation shows it."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="x"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "gradewatch",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
    }


def alert(name: str = "GradewatchWorkerNotRunning", status: str = "firing", **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": "…"},
        "startsAt": "2026-03-02T09:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": f"{name}{sorted(labels.items())}",
    }


async def test_an_alert_wakes_a_cycle_and_is_shown_with_its_finding(client: Client) -> None:
    client.publish(report(findings=[finding()]))
    answer = await client.post("/api/alerts", message(alert(), alert("Odd", code="job_poison"), alert("Other")))
    assert answer.status == 200
    assert not answer_faults("/api/alerts", "POST", 200, answer.json)
    assert answer.json == {"received": 3, "firing": 3, "linked": ["job_poison", "worker_not_running"]}
    assert client.woken == ["an alert fires"]
    shown = (await client.get("/api/findings")).json
    assert not answer_faults("/api/findings", "GET", 200, shown)
    assert [a["name"] for a in shown["findings"][0]["alerts"]] == ["GradewatchWorkerNotRunning"]
    assert len(shown["alerts"]) == 3
    await client.post("/api/alerts", message(alert(status="resolved")))
    assert (await client.get("/api/findings")).json["findings"][0]["alerts"] == []
    assert client.woken == ["an alert fires"]  # a resolved alert needs no cycle


async def test_alerts_on_the_board_are_bounded(client: Client) -> None:
    for batch in range(3):
        many = [alert(n=f"{batch}-{n}") for n in range(100)]
        assert (await client.post("/api/alerts", message(*many))).status == 200
    assert len(client.board.alerts) == 200
    assert client.board.alerts[-1].labels["n"] == "2-99"


async def test_labels_are_cut_and_cleaned(client: Client) -> None:
    labels = {f"l{n:03}": "x" * 2000 for n in range(100)} | {"a": "bell\x07\x00"}
    assert (await client.post("/api/alerts", message(alert(**labels)))).status == 200
    (kept,) = client.board.alerts
    assert len(kept.labels) == 32
    assert max(map(len, kept.labels.values())) == 200
    assert kept.labels["a"] == "bell  "


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"version": 4, "alerts": []},
        {"version": "3", "alerts": []},
        {"version": "4"},
        {"version": "4", "alerts": {}},
        {"version": "4", "alerts": [1]},
        {"version": "4", "alerts": [{"status": "firing"}]},
        {"version": "4", "alerts": [{"status": "burning", "labels": {}}]},
        {"version": "4", "alerts": [{"status": "firing", "labels": {"a": 1}}]},
        {"version": "4", "alerts": [{"status": ["firing"], "labels": {}}]},
        {"version": "4", "alerts": [{}] * 1001},
    ],
)
async def test_what_is_no_webhook_is_refused_whole(client: Client, body: Any) -> None:
    answer = await client.post("/api/alerts", body)
    assert answer.status == 400
    assert client.board.alerts == ()
    assert client.woken == []
