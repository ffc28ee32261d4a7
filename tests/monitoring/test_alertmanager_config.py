"""Alertmanager's example: what amtool says of it, whom each alert reaches, and what mutes what."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from monitoring.shipped import ALERT_NAMES, ALERTMANAGER, ALERTS, load

CONFIG = ALERTMANAGER / "alertmanager.yml"
RECEIVERS = {"page": "gradewatch,on-call", "ticket": "gradewatch,tickets", "none": "dead-mans-switch"}


def amtool_says(amtool: str, *args: str) -> str:
    done = subprocess.run([amtool, *args], capture_output=True, text=True, timeout=30, check=False, cwd=ALERTMANAGER)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_accepts_it(amtool: str) -> None:
    assert "8 inhibit rules" in amtool_says(amtool, "check-config", str(CONFIG))


@pytest.mark.parametrize(("name", "severity"), sorted({(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS}))
def test_each_alert_reaches_whom_it_should(amtool: str, name: str, severity: str) -> None:
    labels = [f"alertname={name}", f"severity={severity}", "namespace=school", "queue=exams"]
    routed = amtool_says(amtool, "config", "routes", "test", f"--config.file={CONFIG}", *labels)
    assert routed.strip() == RECEIVERS[severity]


def test_every_alert_named_in_an_inhibition_exists() -> None:
    for rule in load(CONFIG)["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, _, value = re.fullmatch(r"(\w+) (=|=~|!~) (.+)", matcher).groups()  # type: ignore[union-attr]
            if label == "alertname":
                spelled = re.sub(
                    r"\w*\(([^)]*)\)",
                    lambda m: "|".join(f"Gradewatch{one}" for one in m[1].split("|")),
                    value.strip('"'),
                )
                for pattern in spelled.split("|"):
                    assert any(re.fullmatch(pattern, name) for name in ALERT_NAMES), pattern


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("DataStale", "QueueStuck"), ("DataStale", "NoLiveWorkers"), ("DataStale", "NoLeader"),
        ("DataStale", "RemediationFailing"), ("NoLiveWorkers", "QueueStuck"), ("QueueStuck", "QueueLatencyBudgetBurn"),
        ("CredentialInvalid", "ProviderDown"), ("ProviderDown", "FailureRatioHigh"),
        ("FleetGateHeld", "NoLiveWorkers"), ("TargetDown", "DataStale"),
    ],
)  # fmt: skip
def test_the_cause_mutes_its_symptom(source: str, target: str) -> None:
    assert any(
        _matches(r["source_matchers"], source) and _matches(r["target_matchers"], target) for r in _inhibitions()
    )


def test_nothing_mutes_the_dead_mans_switch_and_nothing_mutes_itself() -> None:
    for rule in _inhibitions():
        assert not _matches(rule["target_matchers"], "Watchdog") or "severity = ticket" in rule["target_matchers"]
        for name in (one.removeprefix("Gradewatch") for one in ALERT_NAMES):
            same = _matches(rule["source_matchers"], name) and _matches(rule["target_matchers"], name)
            assert not same or rule["equal"] == ["alertname", "namespace", "queue"]


def test_a_symptom_of_one_queue_is_not_muted_by_the_cause_of_another() -> None:
    for rule in _inhibitions():
        assert "namespace" in rule["equal"]
        if any("NoLiveWorkers" in m or "QueueStuck" in m for m in rule["source_matchers"]):
            assert "queue" in rule["equal"]


def test_no_secret_is_in_the_example() -> None:
    text = CONFIG.read_text()
    for key in re.findall(r"\b(\w*(?:password|_key|token|credentials|slack_api_url)\w*):", text):
        assert key.endswith("_file"), key


def _inhibitions() -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = load(CONFIG)["inhibit_rules"]
    return rules


def _matches(matchers: list[str], name: str) -> bool:
    """Do the matchers on the alert's name hold for it?"""
    for matcher in matchers:
        label, operator, value = matcher.split(" ", 2)
        if label != "alertname":
            continue
        hit = re.fullmatch(value.strip('"'), f"Gradewatch{name}") is not None
        if hit == (operator == "!~"):
            return False
    return True
