"""The HTML that comes first: the headline as text, the state as JSON, and where the scripts are."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from gradewatch.http import wire
from gradewatch.http.page.assets import assets

LEVEL_WORDS = {"ok": "All well", "notice": "Notice", "warning": "Warning", "critical": "Critical", "unknown": "Unknown"}
# What could end the block the JSON stands in, or begin a comment there (HTML standard, section 4.12.1.3).
_HARMLESS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@cache
def policy() -> str:
    """Scripts from here alone, and the one style sheet that stands in the page, known by its digest."""
    digest = b64encode(sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self'; style-src 'sha256-{digest}'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@cache
def _template() -> Template:
    """With the styles in it: a browser paints nothing before it has them, and need not ask for them again."""
    shell = files(__package__).joinpath("static", "shell.html").read_text(encoding="utf-8")
    return Template(shell.replace("$style", _style().replace("$", "$$")))


@cache
def _style() -> str:
    return files(__package__).joinpath("static", "style.css").read_text(encoding="utf-8")


def document(
    *, root: str, title: str, health: Mapping[str, str], page: Mapping[str, Any], overview: bytes, age: float
) -> bytes:
    """`root` leads from the page to "/", relative, so that a proxy may put us below any path. `overview` is JSON
    already; `page` says which page this is."""
    every = assets()
    folder = f"{root}page/{every.digest}/"
    preloads = (f'<link rel="modulepreload" fetchpriority="low" href="{folder}{name}">' for name in every.modules)
    state = wire.encode({**page, "age": round(age, 1)}).decode()
    return (
        _template()
        .substitute(
            root=root,
            folder=folder,
            title=escape(title),
            preloads="\n".join(preloads),
            level=escape(health["level"]),
            word=LEVEL_WORDS[health["level"]],
            **{name: escape(health[name]) for name in ("sentence", "cause", "fix")},
            page=state.translate(_HARMLESS),
            overview=overview.decode().translate(_HARMLESS),
        )
        .encode(errors="replace")  # a lone surrogate has no UTF-8; the JSON beside it carries it whole
    )
