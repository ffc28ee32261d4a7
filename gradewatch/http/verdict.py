"""What life signs answer, whatever serves them."""

from __future__ import annotations

from typing import Any

STUCK_AFTER = 30.0  # seconds without a tick of the loop


def life(problem: str = "") -> tuple[int, dict[str, Any]]:
    """200 {"status": "ok"}, or 503 with the reason."""
    return (503, {"status": "failing", "reason": problem}) if problem else (200, {"status": "ok"})


def stuck(age: float) -> str:
    """What /livez says of a loop whose last tick is `age` seconds old; "" while that is well."""
    return f"this process's loop has not ticked for {age:.0f} s; restart it" if age > STUCK_AFTER else ""
