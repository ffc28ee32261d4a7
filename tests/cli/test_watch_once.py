from __future__ import annotations

from datetime import timedelta

import pytest
from cli_kit import Place


@pytest.fixture
def late_job(place: Place) -> str:
    """A job that nobody started in time: schedule_to_start is set below its age."""
    job = place.add_job()
    (place.folder / "gradewatch.toml").write_text('[timeouts]\nschedule_to_start = "1ms"\n')
    return job


def test_it_prints_findings_and_each_action_with_its_outcome(place: Place, late_job: str) -> None:
    told = place.run("watch", "--once", code=1).stdout
    assert "worker_never_seen" in told
    assert "job_timed_out" in told
    assert f"expire  {late_job}  default  applied" in told
    shown = place.json("jobs", "show", late_job)
    assert shown["status"] == "failed"
    sweep = told.strip().split()[-1]
    place.run("undo", sweep)
    assert place.json("jobs", "show", late_job)["status"] == "pending"


def test_a_dry_run_decides_and_changes_nothing(place: Place, late_job: str) -> None:
    told = place.json("watch", "--once", "--dry-run", code=1)
    assert [(r["action"], r["subject"], r["outcome"]) for r in told["results"]] == [("expire", late_job, "dry_run")]
    assert place.json("jobs", "show", late_job)["status"] == "pending"


def test_all_is_well(place: Place) -> None:
    place.add_worker()
    told = place.run("watch", "--once").stdout
    assert told.startswith("Healthy: 1 worker alive")
    assert told.endswith("Nothing was repaired.\n")


def test_another_watch_holds_the_lease(place: Place, late_job: str) -> None:
    place.store(lambda store: store.acquire("watch", "somebody else", timedelta(minutes=1).total_seconds()))
    told = place.run("watch", "--once", code=1).stdout
    assert told.endswith("Another watch holds the lease: this one only looked.\n")
    assert place.json("jobs", "show", late_job)["status"] == "pending"


def test_json_is_for_a_single_cycle(place: Place) -> None:
    assert "--json goes with --once" in place.run("watch", "--json", code=2).stderr
