from __future__ import annotations

import pytest
from cli_kit import Place


def test_a_queue_whose_worker_never_ran(place: Place) -> None:
    for _ in range(3):
        place.add_job()
    told = place.run("doctor", code=1).stdout
    assert told.splitlines()[0] == "3 jobs wait and no worker has ever been seen on default."
    assert "critical  worker_never_seen  default" in told
    assert "command  gradewatch worker" in told
    assert "docs/runbooks/worker_never_seen.md" in told
    assert "No worker has an open session." in told


def test_the_same_for_a_program(place: Place) -> None:
    place.add_job()
    told = place.json("doctor", code=1)
    assert told["status"] == "findings"
    assert told["summary"] == "1 job waits and no worker has ever been seen on default."
    [finding] = [f for f in told["findings"] if f["code"] == "worker_never_seen"]
    assert finding["severity"] == "critical"
    assert finding["fix"]
    assert finding["runbook"] == "docs/runbooks/worker_never_seen.md"
    assert told["queues"]["default"]["pending"] == 1
    assert told["workers"] == []


def test_a_healthy_queue(place: Place) -> None:
    place.add_job()
    session = place.add_worker()
    place.claim(session)
    told = place.run("doctor").stdout
    assert told.splitlines()[0] == "Healthy: 1 worker alive, 0 jobs wait, 1 running."
    assert "worker-1  alive" in told
    assert place.json("doctor")["status"] == "healthy"


def test_no_worker_and_no_work_is_no_trouble_yet(place: Place) -> None:
    session = place.add_worker()
    place.store(lambda store: store.end_session(session, "drained"))
    assert "no worker is alive, so the next job will wait" in place.run("doctor").stdout


def test_information_alone_is_healthy(place: Place) -> None:
    place.add_worker()
    place.run("pause")
    told = place.run("doctor").stdout
    assert told.startswith("Healthy")
    assert "info  queue_paused" in told


def test_a_worker_that_is_gone(place: Place) -> None:
    place.add_job()
    session = place.add_worker()
    place.store(lambda store: store.end_session(session, "drained"))
    told = place.run("doctor", code=1).stdout
    assert told.splitlines()[0] == "1 job waits and no worker is running for default."


def test_without_a_database_it_cannot_tell_and_creates_none(place: Place) -> None:
    result = place.run("doctor", code=2)
    assert result.stdout.startswith("Cannot tell how the queues are")
    assert "gradewatch migrate" in result.stdout
    assert "No worker has an open session" not in result.stdout, "that is not known"
    assert result.stderr == ""
    assert not place.database.exists()
    assert place.json("doctor", code=2)["status"] == "cannot_tell"


def test_a_file_that_is_no_database(place: Place) -> None:
    place.database.write_bytes(b"not a database, but a letter" * 50)
    told = place.run("doctor", code=2).stdout
    assert "store_schema_mismatch" in told
    assert "not an SQLite database" in told.replace("\n", " ")


def test_bad_settings_are_misconfigured_for_a_program_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADEWATCH_HTTP__PORT", "many")
    monkeypatch.setenv("GRADEWATCH_WATCH__INTERVAL", "often")
    told = place.json("doctor", code=2)
    assert told["status"] == "misconfigured"
    assert len(told["errors"]) == 2


def test_it_changes_nothing(place: Place) -> None:
    job = place.add_job()
    place.run("doctor", code=1)
    assert place.json("audit") == []
    assert place.json("jobs", "show", job)["status"] == "pending"
