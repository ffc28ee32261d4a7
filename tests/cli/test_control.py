from __future__ import annotations

import pytest
from cli_kit import Place


def test_pause_for_a_while_and_resume(place: Place) -> None:
    place.run("migrate")
    told = place.run("pause", "--for", "30m", "--reason", "moving the disk").stdout
    assert told.startswith("Repairs are paused for 30m, until 20")
    place.add_worker()
    assert "moving the disk" in place.run("doctor").stdout
    assert place.run("resume").stdout == "Repairs go on.\n"
    assert place.json("resume") == {"was_paused": False}


def test_pause_until_somebody_resumes(place: Place) -> None:
    place.run("migrate")
    assert place.json("pause", "--reason", "x")["until"] is None
    assert "until somebody resumes" in place.run("pause").stdout


@pytest.mark.parametrize("length", ["soon", "-5m", "0s", "20000d", ""])
def test_a_length_that_is_none_is_refused(place: Place, length: str) -> None:
    place.run("migrate")
    assert "--for" in place.run("pause", "--for", length, code=2).stderr
    assert place.json("resume") == {"was_paused": False}


def test_undo_tells_what_came_back_and_what_had_changed(place: Place) -> None:
    first, second = place.add_job(), place.add_job()
    sweep = place.json("jobs", "cancel", first, second)["sweep"]
    place.run("jobs", "requeue", second)
    told = place.run("undo", sweep).stdout
    assert f"{first}  default  cancel  put back" in told
    assert f"{second}  default  cancel  left alone" in told
    assert "1 job put back; 1 left alone, because they have changed since" in told
    assert place.json("jobs", "show", first)["status"] == "pending"


def test_undo_twice_undoes_once(place: Place) -> None:
    sweep = place.json("jobs", "cancel", place.add_job())["sweep"]
    assert place.json("undo", sweep)["put_back"] == 1
    assert "left to undo" in place.run("undo", sweep).stdout


def test_undo_of_an_unknown_sweep_exits_1(place: Place) -> None:
    place.run("migrate")
    assert place.run("undo", "20260101T000000-abcd", code=1).stderr.startswith("error: There is no sweep 20260101T")


def test_the_audit_trail_is_newest_first_and_names_the_sweep(place: Place) -> None:
    first, second = place.add_job(), place.add_job()
    old = place.json("jobs", "cancel", first)["sweep"]
    new = place.json("jobs", "fail", second)["sweep"]
    lines = place.run("audit").stdout.splitlines()
    assert lines[0].split()[2] == "sweep"
    assert [line.split()[2] for line in lines[1:]] == [new, old]
    assert [entry["subject"] for entry in place.json("audit", "--sweep", old)] == [first]
    assert [entry["subject"] for entry in place.json("audit", "--limit", "1")] == [second]
    place.run("undo", old)
    assert "applied, undone" in place.run("audit", "--job", first).stdout


def test_an_empty_audit_trail_says_so(place: Place) -> None:
    place.run("migrate")
    assert place.run("audit").stdout == "Nothing of the kind is in the audit trail.\n"


def test_migrate_says_what_it_did_and_prints_what_it_would(place: Place) -> None:
    assert "CREATE TABLE" in place.run("migrate", "--print").stdout
    assert "CREATE TABLE" in place.json("migrate", "--print")["migration"]
    assert not place.database.exists()
    names = ("001_initial", "002_providers", "003_budget", "004_row_notes", "005_paper_tokens")
    told = "".join(f"done: {name}\n" for name in names)
    assert place.run("migrate").stdout == f"{told}The sqlite store is ready.\n"
    assert place.run("migrate").stdout == "The sqlite store was ready already.\n"
    assert place.json("migrate") == {"store": "sqlite", "done": []}
