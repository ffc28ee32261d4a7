"""A worker dies and nobody restarts it: who is told what, when, and how it ends. With the real parts, end to end."""

from __future__ import annotations

import re

import pytest
from monitoring.incident import Incident, ask
from monitoring.shipped import DASHBOARDS, RECORDED, panels

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400), pytest.mark.xdist_group("heavy")]


def test_one_page_with_the_right_text(seen: Incident) -> None:
    (page,) = seen.told.pages("trigger")
    assert page["payload"]["summary"] == "1 firing: No worker is alive for queue default, and work waits"
    text = page["payload"]["custom_details"]["what"]
    assert "GradewatchNoLiveWorkers (firing)" in text
    assert re.search(r"\b[1-4] jobs of default are not finished, and none of its workers is alive\.", text)
    assert re.search(r"^Finding: .*\bworker_not_running\b", text, re.MULTILINE)
    assert "Fix: Start a worker: `gradewatch worker`." in text
    assert [link["text"] for link in page["links"]] == ["Runbook", "Dashboard"]
    assert page["links"][0]["href"].endswith("/docs/runbooks/alerts/GradewatchNoLiveWorkers.md")


def test_it_is_resolved_after_the_repair_and_not_before(seen: Incident) -> None:
    (page,), (resolve,) = seen.told.pages("trigger"), seen.told.pages("resolve")
    assert resolve["dedup_key"] == page["dedup_key"]
    assert seen.killed < seen.paged < seen.repaired < seen.resolved


def test_the_alert_leaves_alertmanager_within_thirty_seconds_of_the_workers_death(seen: Incident) -> None:
    print(f"paged {seen.paged - seen.killed:.1f} s after the worker's death")
    assert seen.paged - seen.killed < 30


def test_its_symptoms_are_muted(seen: Incident) -> None:
    assert {alert["labels"]["alertname"] for alert in seen.muted} >= {"GradewatchQueueStuck"}


def test_slack_is_told_twice_too(seen: Incident) -> None:
    bad, good = (message["attachments"][0] for message in seen.told.at("/slack"))
    assert (bad["color"], good["color"]) == ("danger", "good")
    assert re.search(r"^\*Finding\* .*\bworker_not_running\b", bad["text"], re.MULTILINE)
    assert good["title"].startswith("Resolved: ")
    assert "No worker is alive for queue default, and work waits" in good["title"]


def test_the_watch_links_the_alert_to_its_finding(seen: Incident) -> None:
    linked = {finding["code"]: finding["alerts"] for finding in seen.findings["findings"]}
    assert [alert["name"] for alert in linked["worker_not_running"]] == ["GradewatchNoLiveWorkers"]


def test_the_dead_mans_switch_beats(seen: Incident) -> None:
    beats = seen.told.at("/ping")
    assert len(beats) > 1
    assert {alert["labels"]["alertname"] for beat in beats for alert in beat["alerts"]} == {"GradewatchWatchdog"}


# ---------------------------------------------------------------- the dashboards, looked at after it


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_panel_shows_something_or_says_why_not(seen: Incident, uid: str) -> None:
    """Over the incident, each query of each panel gives numbers, unless its description says when it is empty."""
    for panel in panels(DASHBOARDS[uid]):
        for target in panel["targets"]:
            numbers = shown(seen, target["expr"])
            may_be_empty = "Empty while no provider" in panel["description"]
            assert numbers or may_be_empty, f"{panel['title']}: {target['expr']}"
            assert not (numbers and may_be_empty), f"{panel['title']} says that it is empty, and is not"


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_annotation_has_something_to_mark(seen: Incident, uid: str) -> None:
    for note in DASHBOARDS[uid]["annotations"]["list"]:
        assert shown(seen, note["expr"]), note["name"]


def test_every_variable_has_values(seen: Incident) -> None:
    found = {labels["queue"] for labels in seen.series("gradewatch_queue_slo_seconds")}
    assert found == {"default"}
    assert {labels["namespace"] for labels in seen.series("gradewatch_build_info")} == {"school"}


def test_every_recording_rule_gives_something_but_those_of_providers(seen: Incident) -> None:
    silent = {rule["record"] for rule in RECORDED if not shown(seen, rule["record"])}
    assert silent == {rule["record"] for rule in RECORDED if rule["record"].startswith("provider_")}


def test_no_rule_failed(seen: Incident) -> None:
    for group in ask(f"{seen.stack.prometheus}/api/v1/rules")["data"]["groups"]:
        for rule in group["rules"]:
            assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]


def shown(seen: Incident, expr: str) -> list[str]:
    """The numbers a panel draws: its query with every variable at "All" and the incident as the time range."""
    for name, value in {"namespace": ".*", "queue": ".*", "__rate_interval": "1m", "__range": "5m"}.items():
        expr = expr.replace(f"${name}", value)
    return [value for series in seen.over_time(expr) for _, value in series["values"] if value not in ("NaN", "+Inf")]
