"""From our dashboards to Grafana's JSON, the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import itself, overview, queue


def dashboards() -> dict[str, str]:
    """File name to JSON text."""
    boards = (overview.dashboard(), queue.dashboard(), itself.dashboard())
    built = [_built(board) for board in boards]
    return {f"{board['uid']}.json": json.dumps(board, indent=2, ensure_ascii=False) + "\n" for board in built}


def _built(board: Dashboard) -> dict[str, Any]:
    built: dict[str, Any] = json.loads(JSONEncoder(sort_keys=True).encode(board.build()))
    for number, panel in enumerate(panels(built), start=1):  # Grafana numbers them anew on each load otherwise
        panel["id"] = number
    return built


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel and row of a dashboard's JSON, in order."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", ())
