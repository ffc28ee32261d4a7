"""The alert rules, checked by promtool's own unit tests, and that those leave no alert out."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from monitoring.shipped import ALERT_NAMES, ALERTS, PROMETHEUS, RECORDED, ROOT, UNIT_TESTS, load

from gradewatch.config import Settings, parse_duration
from gradewatch.demo.monitoring import scaled_rules
from gradewatch.model.readings import WAIT_BOUNDS

SEVERITIES = {"page", "ticket", "none"}
ANNOTATIONS = {"summary", "description", "finding", "fix", "runbook_url", "dashboard_url"}
ASKED_FOR = {
    "GradewatchQueueStuck", "GradewatchQueueLatencyBudgetBurn", "GradewatchNoLiveWorkers", "GradewatchHeartbeatStale",
    "GradewatchJobRunningTooLong", "GradewatchFailureRatioHigh", "GradewatchFailedJobsGrowing",
    "GradewatchProviderDown", "GradewatchCredentialInvalid", "GradewatchDataStale", "GradewatchRemediationFailing",
    "GradewatchRemediationLooping", "GradewatchRemediationBudgetSpent", "GradewatchNoLeader",
    "GradewatchFleetGateHeld", "GradewatchTargetDown", "GradewatchWatchdog",
}  # fmt: skip


def run(*args: str | Path) -> str:
    done = subprocess.run(args, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.name)
def test_the_unit_tests_pass(promtool: str, path: Path) -> None:
    assert "SUCCESS" in run(promtool, "test", "rules", path)


def test_promtool_accepts_rules_and_configuration(promtool: str) -> None:
    shown = run(promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    assert f"SUCCESS: {len(ALERTS)} rules found" in shown
    assert f"SUCCESS: {len(RECORDED)} rules found" in shown


def test_every_alert_that_was_asked_for_is_there() -> None:
    assert set(ALERT_NAMES) == ASKED_FOR


@pytest.mark.parametrize("name", ALERT_NAMES)
def test_each_alert_is_shown_to_fire_to_keep_quiet_and_to_resolve(name: str) -> None:
    """Firing with every severity it has; quiet before that; and quiet after it in the same run."""
    fired: set[str] = set()
    quiet = resolved = False
    for path in UNIT_TESTS:
        for test in load(path)["tests"]:
            checks = [check for check in test.get("alert_rule_test", ()) if check["alertname"] == name]
            was_firing = False
            for check in checks:
                fired |= {alert["exp_labels"]["severity"] for alert in check["exp_alerts"]}
                quiet |= not check["exp_alerts"]
                resolved |= was_firing and not check["exp_alerts"]
                was_firing = bool(check["exp_alerts"])
    assert fired == {rule["labels"]["severity"] for rule in ALERTS if rule["alert"] == name}
    if name != "GradewatchWatchdog":  # which is never quiet
        assert quiet
        assert resolved


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_says_all_there_is_to_say(rule: dict) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    assert set(rule["annotations"]) == ANNOTATIONS
    assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/alerts/{rule['alert']}.md")
    if rule["labels"]["severity"] == "page":
        assert "{{ $" in rule["annotations"]["description"] or rule["alert"].endswith(("NoLeader", "TargetDown"))


def test_what_is_muted_by_no_live_workers_does_not_outlive_it() -> None:
    """Or it would page when the workers are back."""
    keeping = [rule for rule in ALERTS if "keep_firing_for" in rule]
    kept = {rule["alert"]: parse_duration(rule["keep_firing_for"]) for rule in keeping}
    assert kept["GradewatchQueueStuck"] < kept["GradewatchNoLiveWorkers"]


def test_a_dead_workers_last_beat_is_remembered_for_longer_than_the_for() -> None:
    (rule,) = (rule for rule in ALERTS if rule["alert"] == "GradewatchHeartbeatStale")
    (window,) = re.findall(r"last_over_time\(\w+\[(\w+)\]", rule["expr"])
    (stale,) = re.findall(r"> (\d+)\n", rule["expr"])
    assert parse_duration(window) > float(stale) + 2 * parse_duration(rule["for"])


def test_numbers_in_the_rules_are_those_of_the_settings() -> None:
    defaults = Settings()
    assert defaults.watch.interval * 3 < 60, "a reading of a minute is stale, and an ordinary one must not be"
    (looping,) = (r["expr"] for r in ALERTS if r["alert"].endswith("Looping") and "increase30m" in r["expr"])
    restarts = next(limit.count for kind, limit in defaults.remediation.budget.items() if kind.value == "restart")
    assert looping.rstrip().endswith(f">= {restarts - 1}")


def test_every_bucket_of_the_wait_histogram_may_be_the_promise() -> None:
    (rule,) = (rule["expr"] for rule in RECORDED if rule["record"].endswith("wait_seconds_in_time:max"))
    lines = [line.split() for line in rule.splitlines() if "le=" in line]
    named = [(part.split('"')[1], float(line[-1].rstrip(")"))) for line in lines for part in line if "le=" in part]
    assert named == [(str(bound), bound) for bound in WAIT_BOUNDS]


def test_the_latency_budget_has_four_pairs_of_windows() -> None:
    burning = [rule for rule in ALERTS if rule["alert"] == "GradewatchQueueLatencyBudgetBurn"]
    pairs = [tuple(line.split(":ratio")[1] for line in r["expr"].splitlines() if ":ratio" in line) for r in burning]
    assert pairs == [
        ("1h > 14.4 * 0.01", "5m > 14.4 * 0.01"),
        ("6h > 6 * 0.01", "30m > 6 * 0.01"),
        ("1d > 3 * 0.01", "2h > 3 * 0.01"),
        ("3d > 1 * 0.01", "6h > 1 * 0.01"),
    ]
    assert all(f"count:max[{rule['labels']['window']}]) >= 10" in rule["expr"] for rule in burning)


def test_scaled_rules_differ_in_their_waits_only(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "scaled.yml").write_text(scaled_rules("alert_rules.yml", 0.05))
    run(promtool, "check", "rules", tmp_path / "scaled.yml")
    short = [rule for group in load(tmp_path / "scaled.yml")["groups"] for rule in group["rules"]]
    changed = defaultdict(set)
    for before, after in zip(ALERTS, short, strict=True):
        for key in before.keys() | after.keys():
            if before.get(key) != after.get(key):
                changed[key].add((before[key], after[key]))
    assert set(changed) == {"for", "keep_firing_for"}
    assert ("2m", "6000ms") in changed["for"]


def test_the_links_are_changed_by_the_documented_command(promtool: str, tmp_path: Path) -> None:
    """Two bases in all the files, and one sed of docs/monitoring.md puts others there."""
    (command,) = re.findall(r"^(sed -i .*?\n)(?:```)", (ROOT / "docs" / "monitoring.md").read_text(), re.M | re.S)
    for name in ("prometheus", "grafana", "alertmanager"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, check=True, timeout=20)
    text = (tmp_path / "prometheus" / "alert_rules.yml").read_text()
    assert "https://wiki.example.com/runbooks/alerts/GradewatchQueueStuck.md" in text
    assert "https://grafana.example.com/d/gradewatch-queue?" in text
    assert "github.com" not in text
    assert "localhost:3000" not in text
    run(promtool, "test", "rules", tmp_path / "prometheus" / "tests" / "workers.test.yml")
