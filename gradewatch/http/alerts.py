"""POST /api/alerts: Alertmanager's webhook, version 4. An alert wakes a cycle and is shown with its finding."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from gradewatch.board import Alert
from gradewatch.http.problems import invalid
from gradewatch.http.reading import read_object
from gradewatch.http.respond import respond
from gradewatch.http.services import SERVICES
from gradewatch.model import Code

BODY = 1024 * 1024  # bytes
MAX_ALERTS = 1000  # in one message
MAX_LABELS, MAX_TEXT = 32, 200


async def alerts(request: web.Request) -> web.Response:
    message = await read_object(request, BODY)
    noted = [read_alert(one, index) for index, one in enumerate(_listed(message))]
    board = request.app[SERVICES].board
    for alert, firing in noted:
        board.note_alert(alert, firing=firing)
    firing_now = sum(firing for _, firing in noted)
    if firing_now:
        board.wake("an alert fires")
    linked = sorted({alert.code.value for alert, _ in noted if alert.code})
    return respond({"received": len(noted), "firing": firing_now, "linked": linked})


def _listed(message: Mapping[str, Any]) -> list[Any]:
    if message.get("version") != "4":
        raise invalid('this is not Alertmanager\'s webhook: "version" must be "4"')
    listed = message.get("alerts")
    if not isinstance(listed, list) or len(listed) > MAX_ALERTS:
        raise invalid(f'"alerts" must be a list of at most {MAX_ALERTS}', "set max_alerts in Alertmanager's receiver")
    return listed


def read_alert(one: Any, index: int = 0) -> tuple[Alert, bool]:
    """An alert and whether it fires. Texts are cut, not refused: they come from people's rules. Raises Problem 400."""
    if not isinstance(one, Mapping) or one.get("status") not in ("firing", "resolved"):
        raise invalid(f'alerts[{index}] must be an object whose "status" is "firing" or "resolved"')
    labels = one.get("labels")
    if not isinstance(labels, Mapping) or not all(isinstance(value, str) for value in labels.values()):
        raise invalid(f"alerts[{index}].labels must be an object of texts")
    name = _cut(labels.get("alertname"))
    kept = {_cut(key): _cut(value) for key, value in sorted(labels.items())[:MAX_LABELS]}
    alert = Alert(
        fingerprint=_cut(one.get("fingerprint")) or repr(kept),
        name=name,
        code=code_of(labels.get("code", ""), name),
        labels=kept,
        starts_at=_cut(one.get("startsAt")),
        received_at=datetime.now(UTC),
    )
    return alert, one["status"] == "firing"


def code_of(label: str, name: str) -> Code | None:
    """The finding an alert names: by its label `code`, else by its name (GradewatchJobPoison is job_poison)."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.removeprefix("Gradewatch")).lower()
    for word in (label, snake):
        if word in Code.__members__.values():
            return Code(word)
    return None


def _cut(value: object) -> str:
    """At most MAX_TEXT characters, control characters blanked; "" for what is no text."""
    text = value[:MAX_TEXT] if isinstance(value, str) else ""
    return "".join(c if c.isprintable() else " " for c in text)


ROUTES = [web.post("/api/alerts", alerts)]
