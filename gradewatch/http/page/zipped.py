"""Answers that browsers take compressed."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web


def takes_gzip(request: web.Request) -> bool:
    """Whether Accept-Encoding names gzip, and not with a weight of nought (RFC 9110, section 12.5.3)."""
    for offer in request.headers.get("Accept-Encoding", "").lower().split(","):
        coding, _, weight = offer.partition(";")
        if coding.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def answer(
    request: web.Request, plain: bytes, zipped: bytes, media: str, headers: Mapping[str, str], status: int = 200
) -> web.Response:
    """Whichever of the two the asker takes."""
    compressed = takes_gzip(request)
    response = web.Response(body=zipped if compressed else plain, status=status, content_type=media)
    if media.startswith("text/"):
        response.charset = "utf-8"
    response.headers["Vary"] = "Accept-Encoding"
    if compressed:
        response.headers["Content-Encoding"] = "gzip"
    response.headers.update(headers)
    return response
