"""Calling the schema's functions over PostgREST: one HTTP request a call."""

from __future__ import annotations

import json
from typing import Any

from gradewatch.stores.postgres.encode import Json, text
from gradewatch.stores.supabase.client import SupabaseClient

PREFIX = "gradewatch_"  # of the functions in the schema that PostgREST shows
ENVELOPE = "answer"


class Rest:
    """A `Caller` over a `SupabaseClient`. Every answer comes in an envelope, so that whatever else may answer in JSON is
    not taken for a queue.

    JSON travels as text within it, and within the request: PostgREST takes both apart, and cannot where a payload
    holds "\\u0000", which scans do.
    """

    def __init__(self, client: SupabaseClient) -> None:
        self.client = client

    async def call(self, function: str, **arguments: Any) -> Any:
        said = await self.client.rpc(PREFIX + function, {name: _argument(value) for name, value in arguments.items()})
        if not isinstance(said, dict) or said.keys() != {ENVELOPE}:
            raise self.client.odd_answer()
        try:
            return None if said[ENVELOPE] is None else json.loads(said[ENVELOPE])
        except (TypeError, ValueError):
            raise self.client.odd_answer() from None


def _argument(value: Any) -> Any:
    """Text is cleaned of what PostgreSQL cannot hold."""
    match value:
        case Json():
            return str(value)
        case str():
            return text(value)
        case list() | tuple():
            return [_argument(one) for one in value]
    return value
