"""GET /: what can be asked here, as a plain page."""

from __future__ import annotations

from html import escape

from aiohttp import web

from gradewatch.http.openapi import DOCUMENT
from gradewatch.version import __version__

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Gradewatch</title>
<h1>Gradewatch {version}</h1>
<ul>
{items}
</ul>
</html>
"""


def _items() -> str:
    lines = []
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            shown = f"<code>{method.upper()} {escape(path)}</code>"
            linked = f'<a href="{escape(path)}">{shown}</a>' if method == "get" and "{" not in path else shown
            lines.append(f"<li>{linked}: {escape(operation['summary'])}</li>")
    return "\n".join(lines)


async def index(request: web.Request) -> web.Response:
    return web.Response(text=PAGE.format(version=escape(__version__), items=_items()), content_type="text/html")


ROUTES = [web.get("/", index)]
