"""aioresponses, made to go with aiohttp 3.14 and later, whose ClientResponse wants a `stream_writer`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock, patch

import aiohttp
from aioresponses import aioresponses


class Response(aiohttp.ClientResponse):
    """One that nobody writes to."""

    def __init__(self, *args: Any, stream_writer: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=stream_writer or Mock(), **kwargs)


@contextmanager
def mocked_http() -> Iterator[aioresponses]:
    with patch("aioresponses.core.ClientResponse", Response), aioresponses() as http:
        yield http
