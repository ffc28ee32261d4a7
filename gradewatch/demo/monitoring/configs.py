"""The shipped files, made fit for a run of a minute: only how long things are waited for is changed, and who is told.

What an alert says, when it is true and what mutes it stays to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from gradewatch.config import parse_duration
from gradewatch.demo.monitoring.files import monitoring_folder

RULE_WAITS = ("for", "keep_firing_for")
ROUTE_WAITS = ("group_wait", "group_interval", "repeat_interval")
CALENDAR = ("mute_time_intervals", "active_time_intervals")


def scaled(duration: str, factor: float) -> str:
    """A duration as Prometheus writes it, times `factor`, in whole milliseconds: scaled("2m", 0.05) == "6000ms"."""
    return f"{round(parse_duration(duration) * factor * 1000)}ms"


def scaled_rules(name: str, factor: float) -> str:
    """A shipped file of rules with each `for` and `keep_firing_for` times `factor`. Expressions keep their windows."""
    rules = yaml.safe_load((monitoring_folder() / "prometheus" / name).read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        _scale(rule, RULE_WAITS, factor)
    return _dump(rules)


def prometheus_config(
    targets: Mapping[str, Sequence[str]], alertmanager: str, *, scrape: float, labels: Mapping[str, str]
) -> str:
    """The shipped prometheus.yml with these targets by job, this Alertmanager, and everything each `scrape` seconds."""
    config = yaml.safe_load((monitoring_folder() / "prometheus" / "prometheus.yml").read_text())
    every = scaled("1s", scrape)
    config["global"] = {"scrape_interval": every, "evaluation_interval": every, "scrape_timeout": every}
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": list(targets.get(job["job_name"], ())), "labels": dict(labels)}]
    return _dump(config)


def alertmanager_config(
    factor: float, receiver: Callable[[Mapping[str, Any]], Mapping[str, Any]], globals_: Mapping[str, Any]
) -> str:
    """The shipped alertmanager.yml with each wait times `factor`, other receivers and other globals, whatever the hour.

    `receiver` gets each receiver and returns the one to use in its place; one of a name alone tells nobody.
    """
    folder = monitoring_folder() / "alertmanager"
    config = yaml.safe_load((folder / "alertmanager.yml").read_text())
    config["global"] = dict(globals_)
    config["templates"] = [str(folder / "templates" / "*.tmpl")]
    config["receivers"] = [dict(receiver(one)) for one in config["receivers"]]
    for route in (config["route"], *config["route"]["routes"]):
        _scale(route, ROUTE_WAITS, factor)
        for key in CALENDAR:
            route.pop(key, None)
    return _dump(config)


def _scale(mapping: dict[str, Any], keys: Sequence[str], factor: float) -> None:
    mapping.update({key: scaled(mapping[key], factor) for key in keys if key in mapping})


def _dump(config: Any) -> str:
    text: str = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=1000)
    return text
