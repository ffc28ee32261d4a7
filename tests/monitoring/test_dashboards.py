"""The dashboards: as the code makes them, and by the rules of Grafana's public dashboard-linter."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitoring.shipped import DASHBOARDS, ROOT, names_in, panels, queries, recorded, series

UNITS = {
    line
    for line in (Path(__file__).parent / "grafana_units.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
}


def every_panel() -> Iterator[Any]:
    for uid, board in DASHBOARDS.items():
        for panel in panels(board):
            yield pytest.param(panel, id=f"{uid}: {panel['title']}")


def test_the_list_of_units_is_grafanas_whole_one() -> None:
    assert len(UNITS) > 250
    assert {"short", "percentunit", "s", "dateTimeAsIso"} <= UNITS


def test_the_committed_files_are_as_the_code_makes_them() -> None:
    from grafana.__main__ import DASHBOARDS as generated

    assert generated.drift() == [], "run: make dashboards"


def test_drift_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from grafana.generated import Generated

    made = Generated(tmp_path / "made", lambda: {"a.json": "{}", "b.json": "[]"}, "make them", "*.json")
    assert made.main([]) == 0
    assert made.main(["--check"]) == 0
    (tmp_path / "made" / "a.json").write_text("changed by hand")
    (tmp_path / "made" / "b.json").unlink()
    (tmp_path / "made" / "left-over.json").touch()
    (tmp_path / "made" / "README.md").touch()
    assert made.drift() == ["a.json", "b.json", "left-over.json"]
    assert made.main(["--check"]) == 1
    assert capsys.readouterr().out.endswith(
        "not as the code makes them: a.json, b.json, left-over.json. Run: make them\n"
    )


def test_there_are_three() -> None:
    assert set(DASHBOARDS) == {"gradewatch-overview", "gradewatch-queue", "gradewatch-itself"}


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_each_cannot_be_edited_is_in_utc_and_has_its_links_and_annotations(uid: str) -> None:
    board = DASHBOARDS[uid]
    assert board["editable"] is False  # dashboard-linter: uneditable-dashboard-rule
    assert (board["timezone"], board["uid"]) == ("utc", uid)
    assert board["description"]
    assert {link["type"] for link in board["links"]} == {"dashboards", "link"}
    assert {note["name"] for note in board["annotations"]["list"]} == {"Repairs", "Pages"}
    ids = [panel["id"] for panel in board["panels"]]
    assert ids == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_the_variables_are_those_of_the_linter_and_ours(uid: str) -> None:
    """template-datasource-rule, template-label-promql-rule and template-on-time-change-reload-rule. Ours are namespace
    and queue where the linter would have job and instance: an instance is no way to part queues."""
    source, *others = DASHBOARDS[uid]["templating"]["list"]
    assert (source["name"], source["type"], source["query"], source["label"]) == (
        "datasource", "datasource", "prometheus", "Data source",
    )  # fmt: skip
    assert [v["name"] for v in others] == (["namespace"] if uid.endswith("itself") else ["namespace", "queue"])
    for variable in others:
        assert variable["datasource"]["uid"] == "${datasource}"
        assert variable["refresh"] == 2  # on a change of the time range
        assert (variable["includeAll"], variable["multi"], variable["allValue"]) == (True, True, ".*")
        (metric,) = names_in(variable["query"])
        assert metric in series()


@pytest.mark.parametrize("panel", list(every_panel()))
def test_each_panel_keeps_the_linters_rules(panel: dict[str, Any]) -> None:
    assert panel["title"]  # panel-title-description-rule
    assert panel["description"].endswith("."), "the description is a sentence"
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}  # panel-datasource-rule
    assert panel["targets"]  # panel-no-targets-rule
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, "Grafana knows it"  # panel-units-rule
    assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        assert target["legendFormat"]


@pytest.mark.parametrize(("name", "expr"), list(queries()), ids=lambda value: value if ": " in value[:40] else "")
def test_each_query_keeps_the_linters_rules(name: str, expr: str) -> None:
    for metric in names_in(expr):
        assert metric in series() | recorded(), f"{name} reads {metric}, which nobody serves"
        selectors = re.findall(rf"{re.escape(metric)}\{{([^}}]*)\}}", expr)
        assert selectors, f"{name} reads {metric} of every namespace"
        assert all('namespace=~"$namespace"' in one for one in selectors)  # in place of target-job-rule
        if metric.endswith("_total"):  # target-counter-agg-rule
            assert re.search(rf"(rate|increase)\({metric}", expr)
    for window in re.findall(r"\[([^\]]+)\]", expr):  # target-rate-interval-rule
        assert window in ("$__rate_interval", "$__range")


def test_every_query_is_promql(promtool: str, tmp_path: Path) -> None:
    """target-promql-rule, by promtool: each query as a rule of its own."""
    lines = ["groups:", "  - name: queries", "    rules:"]
    for number, (_, expr) in enumerate(queries()):
        plain = expr.replace("$__rate_interval", "1m").replace("$__range", "1h")
        lines += [f"      - record: query:{number}", "        expr: |2", f"          {plain}"]
    (tmp_path / "queries.yml").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "queries.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_queue_is_held_against_its_own_promise() -> None:
    (panel,) = (p for p in panels(DASHBOARDS["gradewatch-queue"]) if p["title"] == "Oldest job that waits")
    (transformation,) = panel["transformations"]
    assert transformation["id"] == "configFromData"
    reference = transformation["options"]["configRefId"]
    (limit,) = (target for target in panel["targets"] if target["refId"] == reference)
    assert "gradewatch_queue_slo_seconds" in limit["expr"]
    assert limit["legendFormat"] == transformation["options"]["mappings"][0]["fieldName"]


def test_the_queues_repeat() -> None:
    (row,) = (panel for panel in DASHBOARDS["gradewatch-queue"]["panels"] if panel["type"] == "row")
    assert (row["repeat"], row["title"]) == ("queue", "$queue")


def test_grafana_finds_them_by_the_provisioning_files() -> None:
    import yaml

    folder = ROOT / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards" / "gradewatch.yaml").read_text())["providers"]
    assert provider["options"]["path"].endswith("/dashboards/gradewatch")
    assert (provider["allowUiUpdates"], provider["disableDeletion"]) == (False, True)
    (source,) = yaml.safe_load((folder / "datasources" / "gradewatch.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
