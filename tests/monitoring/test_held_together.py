"""Alerts, findings, runbooks, metrics, dashboards, settings and README: none names what another does not have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from monitoring.shipped import (
    ALERT_NAMES,
    ALERTMANAGER,
    ALERTS,
    DASHBOARDS,
    RECORDED,
    ROOT,
    RUNBOOKS,
    families,
    names_in,
    queries,
    recorded,
    series,
)

from gradewatch.cli.root import COMMANDS
from gradewatch.config.keys import FOREIGN_KEYS, QUEUE_KEYS, dotted_keys
from gradewatch.model import ActionKind, Code, JobState, Outcome, Verdict
from gradewatch.stores.mongo import schema as mongo

PAGES = sorted((RUNBOOKS / "alerts").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SECTIONS = ["## What it means", "## What gradewatch did", "## What to check", "## How to end it"]
LABELS = {"code": Code, "action": ActionKind, "verdict": Verdict, "state": JobState}
OUTCOMES = {*Outcome, *JobState, "ok", "rate_limited", "timeout", "error", "graded", "needs_review"}
COLLECTIONS = {mongo.PREFIX + name for name in mongo.COLLECTIONS}  # of MongoDB: no metrics, for all their names


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("rule", [*ALERTS, *RECORDED], ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_read_what_is_served_or_recorded(rule: dict) -> None:
    texts = [rule["expr"], *rule.get("annotations", {}).values()]
    for name in set().union(*map(names_in, texts)):
        assert name in series() | recorded(), f"{rule} reads {name}"


def test_everything_recorded_is_read_by_an_alert_a_dashboard_or_another_rule() -> None:
    texts = [str(DASHBOARDS), *(str(rule) for rule in ALERTS), *(rule["expr"] for rule in RECORDED)]
    used = set().union(*map(names_in, texts))
    assert recorded() - used == set()


@pytest.mark.parametrize("rule", RECORDED, ids=lambda rule: rule["record"])
def test_recording_rules_are_named_by_level_metric_and_operations(rule: dict) -> None:
    level, metric, operation = rule["record"].split(":")
    assert re.fullmatch(r"(instance|job|queue|code|action|provider|outcome|state|verdict|le|_)+", level)
    assert metric.startswith("gradewatch_")
    assert re.fullmatch(r"(max|min|sum|ratio(\w+)?|rate\w+|increase\w+)", operation)


def test_labels_in_rules_and_dashboards_have_values_that_exist() -> None:
    text = "\n".join([*(rule["expr"] for rule in [*ALERTS, *RECORDED]), *(expr for _, expr in queries())])
    for label, kind in LABELS.items():
        for value in re.findall(rf'\b{label}=~?"([a-z_|]+)"', text):
            assert set(value.split("|")) <= set(kind), value
    for value in re.findall(r'\boutcome=~?"([a-z_|]+)"', text):
        assert set(value.split("|")) <= OUTCOMES


def test_an_alerts_code_is_a_finding() -> None:
    for rule in ALERTS:
        assert rule["labels"].get("code", Code.JOB_POISON) in set(Code)


def test_each_finding_that_stops_grading_has_an_alert() -> None:
    """Those of a provider, of repairs and of the gate by their code; the others by what follows."""
    text = "\n".join(rule["expr"] for rule in ALERTS)
    by_code = {Code.CREDENTIAL_MISSING, Code.CREDENTIAL_INVALID, Code.PROVIDER_UNAVAILABLE, Code.WORKER_CRASH_LOOP,
               Code.REMEDIATION_INEFFECTIVE, Code.REMEDIATION_BUDGET_SPENT, Code.MONITOR_SUSPECT}  # fmt: skip
    assert all(code in text for code in by_code)


@pytest.mark.parametrize("name", ALERT_NAMES)
def test_each_alert_has_a_page_that_says_it_all(name: str) -> None:
    page = (RUNBOOKS / "alerts" / f"{name}.md").read_text()
    assert page.startswith(f"# `{name}`\n")
    assert [line for line in page.splitlines() if line.startswith("## ")] == SECTIONS
    assert "```bash\n" in page.partition("## What to check")[2].partition("## How to end it")[0]
    assert f"(alerts/{name}.md)" in (RUNBOOKS / "README.md").read_text()
    assert f"`{name}`" in (ROOT / "docs" / "monitoring.md").read_text()


def test_no_page_is_left_over() -> None:
    assert [page.stem for page in PAGES] == ALERT_NAMES


def test_links_of_alerts_lead_to_pages_and_dashboards_that_exist() -> None:
    for rule in ALERTS:
        _, _, page = rule["annotations"]["runbook_url"].partition("/blob/main/")
        assert (ROOT / page).is_file()
        uid, _, variables = rule["annotations"]["dashboard_url"].partition("/d/")[2].partition("?")
        named = {variable["name"] for variable in DASHBOARDS[uid]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", variables)) <= named
        assert set(re.findall(r"\{\{ \$labels\.(\w+) \| urlquery \}\}", variables)) <= named


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_documents_name_what_there_is(document: Path) -> None:
    text = document.read_text()
    for name in names_in(re.sub(r"\{[^}\n]*\}", "", text)):
        assert name in series() | recorded() | COLLECTIONS, f"{relative(document)} speaks of {name}"
    for name in re.findall(r"\bGradewatch[A-Z]\w+", text):
        assert name in ALERT_NAMES, f"{relative(document)} speaks of {name}"


@pytest.mark.parametrize("text", [pytest.param(p.read_text(), id=p.stem) for p in PAGES] + [
    pytest.param(rule["annotations"]["fix"], id=f"fix of {rule['alert']}") for rule in ALERTS
])  # fmt: skip
def test_commands_and_settings_to_paste_exist(text: str) -> None:
    for command in re.findall(r"(?:^|`|&& |\d )gradewatch ([a-z-]+)", text, re.MULTILINE):
        assert command in COMMANDS, command
    for verb in re.findall(r"gradewatch jobs ([a-z]+)", text):
        assert verb in {"list", "show", "requeue", "fail", "cancel"}
    keys = {*dotted_keys(), *(f"queues.NAME.{key}" for key in (*QUEUE_KEYS, *FOREIGN_KEYS))}
    variables = {"GRADEWATCH_" + key.upper().replace(".", "__") for key in keys}
    for variable in re.findall(r"\bGRADEWATCH_[A-Z_]+", text):
        assert variable in variables, variable


def test_the_metrics_of_the_architecture_page_are_those_that_are_served() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text().partition("## Metrics")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(gradewatch_\w+)`", page))
    assert named == set(families())


def test_alertmanagers_templates_use_the_annotations_there_are() -> None:
    text = "".join(path.read_text() for path in sorted(ALERTMANAGER.rglob("*.*")))
    for name in re.findall(r"\.Annotations\.(\w+)", text):
        assert all(name in rule["annotations"] for rule in ALERTS), name
