"""How a value may be shown in a message: never a secret."""

from __future__ import annotations

import re

HIDDEN = "(hidden)"
_SECRET_NAME = re.compile(r"key|token|secret|passw|pwd|credential|auth|dsn", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,20})://")
_LONGEST = 60


def shown(names: str, value: object) -> str:
    """`value` as a message may quote it. `names` is what it is called (its key, its variable); where a name speaks of
    a secret, nothing is shown; of a URL, only the scheme, because userinfo, host and query may each hold a key."""
    if _SECRET_NAME.search(names):
        return HIDDEN
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        # A hexadecimal number may have more digits than Python consents to print.
        return "a very large number" if isinstance(value, int) and abs(value) >= 10**18 else f"{value}"
    if "://" in value or "@" in value or "url" in names.lower():
        found = _SCHEME.match(value)
        return f'"{found[1]}://…"' if found else HIDDEN
    return f'"{value}"' if len(value) <= _LONGEST else f'"{value[:_LONGEST]}…"'
