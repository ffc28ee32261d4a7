"""What a Supabase key is, told from its own text: the wrong one is refused here, because the server would not
refuse it. Behind row-level security it would see no rows, and a full queue would look empty."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

VARIABLE = "SUPABASE_SERVICE_ROLE_KEY"
ROLE = "service_role"
_LOOKS_RIGHT = re.compile(r"[\x21-\x7e]+")


def misfit(key: str) -> str:
    """Why this key cannot serve, as the rest of a sentence that begins with its variable; empty for one that can.
    The key itself is never in it."""
    if not key:
        return "is not set"
    if not _LOOKS_RIGHT.fullmatch(key) or key[0] in "\"'":
        return "holds blanks, quotes or other characters that no key has: something was pasted along with it"
    if key.startswith("sb_secret_"):
        return ""
    if key.startswith("sb_publishable_"):
        return "holds a publishable key, which is for browsers: row-level security hides every row from it"
    if key.startswith("sbp_"):
        return "holds a personal access token, which is for Supabase's management API and opens no database"
    role = claims(key).get("role")
    if role == ROLE:
        return ""
    if role == "anon":
        return "holds the anon key, which is for browsers: row-level security hides every row from it"
    if isinstance(role, str):
        return f"holds a token of the role {role[:40]!r}: row-level security may hide rows from it"
    return "holds neither a secret key (sb_secret_…) nor a service_role token (eyJ…): perhaps it was cut short"


def claims(key: str) -> Mapping[str, Any]:
    """What a JWT says of itself, unchecked; nothing for what is none."""
    parts = key.split(".")
    if len(parts) != 3:
        return {}
    try:
        said = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def expired(key: str, now: float) -> bool:
    """By its own words, at `now` in seconds since 1970."""
    end = claims(key).get("exp")
    return isinstance(end, int | float) and end < now
