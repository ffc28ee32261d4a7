"""From our rules and dashboards to Kubernetes objects, the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
RULES = ("recording_rules.yml", "alert_rules.yml")  # in this order, as prometheus.yml loads them
LARGEST = 1024 * 1024  # bytes of a ConfigMap


def manifests() -> dict[str, str]:
    """File name to YAML."""
    return {
        "prometheusrule.yaml": _text("prometheus/", [prometheus_rule()]),
        "dashboards.yaml": _text("grafana/dashboards/", dashboards()),
    }


def prometheus_rule() -> dict[str, Any]:
    """The groups of both files, with their anchors written out: a PrometheusRule is stored without them."""
    groups = [group for name in RULES for group in _read(ROOT / "prometheus" / name)["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "gradewatch", "labels": {"app.kubernetes.io/name": "gradewatch"}},
        "spec": {"groups": groups},
    }


def dashboards() -> list[dict[str, Any]]:
    """One ConfigMap for each, with the label that Grafana's dashboard sidecar looks for."""
    return [_dashboard(path) for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))]


def _dashboard(path: Path) -> dict[str, Any]:
    text = path.read_text()
    if len(text.encode()) > LARGEST:
        raise ValueError(f"{path.name} is larger than a ConfigMap may be")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{path.stem}-dashboard",
            "labels": {"app.kubernetes.io/name": "gradewatch", "grafana_dashboard": "1"},
            "annotations": {"grafana_folder": "Gradewatch"},
        },
        "data": {path.name: text},
    }


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and nothing twice by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def _text(source: str, documents: list[dict[str, Any]]) -> str:
    body = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return f"# Written by `make k8s` from {source}: change it there.\n{body}"
