"""The page's own scripts and icon, from memory. Their path names what is in them: a browser may keep them."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from aiohttp import web

from gradewatch.http.page.zipped import answer
from gradewatch.http.problems import Problem

MEDIA = {".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}


@dataclass(frozen=True, slots=True)
class Asset:
    media: str
    plain: bytes
    zipped: bytes


@dataclass(frozen=True, slots=True)
class Assets:
    """`digest` is of all of them, because modules name one another without it."""

    digest: str
    by_name: dict[str, Asset]

    @property
    def modules(self) -> list[str]:
        return sorted(name for name in self.by_name if name.endswith(".js"))


@cache
def assets() -> Assets:
    """Read once, from the package."""
    found, digest = {}, hashlib.sha256()
    for file in sorted(files(__package__).joinpath("static").iterdir(), key=lambda file: file.name):
        media = MEDIA.get(file.name[file.name.rfind(".") :])
        if media is not None:
            plain = file.read_bytes()
            digest.update(file.name.encode() + b"\0" + plain)
            found[file.name] = Asset(media, plain, gzip.compress(plain, 9, mtime=0))
    return Assets(digest.hexdigest()[:16], found)


async def asset(request: web.Request) -> web.Response:
    """Under another version's digest there is nothing: better a broken page that is loaded again than a mixed one."""
    every = assets()
    found = every.by_name.get(request.match_info["name"])
    if found is None or request.match_info["digest"] != every.digest:
        raise Problem(404, "not_found", "there is no such file in this version", fix="load the page again")
    etag = f'"{every.digest}"'
    headers = {**FOR_GOOD, "ETag": etag}
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return answer(request, found.plain, found.zipped, found.media, headers)


ASSET_ROUTES = [web.get("/page/{digest}/{name}", asset)]
