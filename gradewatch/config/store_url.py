"""Which store: the key `store.url`, or the names that backends already have, and what a URL must look like."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

from gradewatch.config.entries import Entry
from gradewatch.config.notes import Notes, did_you_mean
from gradewatch.config.values import Wrong

PATH = ("store", "url")
RECORDS = ("store", "records")
SAME = "store"  # store.records: in the store itself
CONVENTIONAL = ("MONGO_URL", "SUPABASE_URL", "DATABASE_URL")  # in this order, where several are set
MONGO, DB_NAME = ("mongodb", "mongodb+srv"), "DB_NAME"
SCHEMES_LATER = ("https",)
_MONGO_URL = re.compile(
    r"(?P<scheme>mongodb(?:\+srv)?)://(?P<place>[^/?]*)(?:/(?P<database>[^?]*))?(?P<options>\?.*)?", re.IGNORECASE
)
_DATABASE = re.compile(r"[^\s/\\.\"$*<>:|?]{1,63}")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20})://(.*)", re.DOTALL)


def conventional(environ: Mapping[str, str], notes: Notes, *, file: bool) -> Entry | None:
    """The store that the backend's own variables name, where no setting does. Beside a settings file they choose
    nothing: the file, or its defaults, decide."""
    present = [name for name in CONVENTIONAL if environ.get(name, "").strip()]
    if not present:
        return None
    if file:
        notes.warn(
            f"{' and '.join(present)} chose no store, because there is a settings file: "
            f"store.url is {SUPPORTED['sqlite'][1]} by default; set store.url to say which store is meant"
        )
        return None
    if len(present) > 1:
        notes.warn(
            f"{', '.join(present)} are all set: {present[0]} chooses the store; "
            "set GRADEWATCH_STORE__URL to say which store is meant"
        )
    url = environ[present[0]].strip()
    # A backend that has both gives DB_NAME to the client of MONGO_URL, whatever database stands in that.
    return Entry(PATH, named(url, environ, over=True) if present[0] == "MONGO_URL" else url, present[0])


def resolve(url: str, folder: Path) -> str:
    """The URL in its final form: a path in it is made absolute, from `folder`. Raises Wrong, without the URL."""
    found = _URL.fullmatch(url.strip())
    supported = " or ".join(dict.fromkeys(example for _, example in SUPPORTED.values()))
    if found is None:
        raise Wrong(f"a URL is needed, such as {supported}")
    scheme, rest = found[1].lower(), found[2]
    if scheme not in SUPPORTED:
        raise Wrong(f"no store has that scheme; this version supports {supported}{did_you_mean(scheme, SUPPORTED)}")
    return SUPPORTED[scheme][0](rest, folder)


def named(url: str, environ: Mapping[str, str], *, over: bool = False) -> str:
    """A MongoDB URL with the database that DB_NAME names, where it names none itself, or `over` that. Who logs in goes
    on to be looked up in the database that the URL named for it."""
    found, name = _MONGO_URL.fullmatch(url.strip()), environ.get(DB_NAME, "").strip()
    if found is None or not name or (found["database"] and not over):
        return url
    options = found["options"] or ""
    if "@" in found["place"] and "authsource=" not in options.lower():
        options = f"{options}&" if options else "?"
        options += f"authSource={found['database'] or 'admin'}"
    return f"{found['scheme']}://{found['place']}/{quote(name)}{options}"


def _sqlite(rest: str, folder: Path) -> str:
    path = rest.removeprefix("/")
    if path == rest or not path.strip("/"):
        raise Wrong("a file is needed after three slashes, such as sqlite:///gradewatch.db or sqlite:////var/lib/g.db")
    if ":memory:" in path:
        raise Wrong("worker and watch are several processes and must share a file, such as sqlite:///gradewatch.db")
    if not path.isprintable() or "?" in path or "#" in path:
        raise Wrong("only a file's path may follow sqlite:///, without parameters or control characters")
    return f"sqlite:///{folder / path}"


def _postgres(rest: str, folder: Path) -> str:
    place = rest.partition("?")[0]
    if not rest.isprintable() or re.search(r"[\s#]", rest) or place.count("@") > 1:
        raise Wrong(
            "special characters of the password must be percent-encoded, such as %40 for @, %23 for # and %2F for /"
        )
    if not place.strip("/"):
        raise Wrong("a host and a database are needed, such as postgresql://user:password@host:5432/database")
    return f"postgresql://{rest}"


def _mongo(scheme: str, rest: str, folder: Path) -> str:
    place, _, path = rest.partition("?")[0].partition("/")
    beyond = rest.removeprefix(place)
    if not rest.isprintable() or re.search(r"[\s#]", rest) or place.count("@") > 1 or "@" in beyond or "/" in path:
        raise Wrong(
            "special characters of the password must be percent-encoded, such as %40 for @, %23 for # and %2F for /"
        )
    if not place.rpartition("@")[2].strip(",:"):
        raise Wrong(f"a host and a database are needed, such as {scheme}://user:password@host/database")
    if not path:
        raise Wrong(f"a database is needed behind the host, such as {scheme}://host/database; or name it in {DB_NAME}")
    if not _DATABASE.fullmatch(unquote(path)):
        raise Wrong("a database's name has 1 to 63 letters, digits, dashes and underscores")
    return f"{scheme}://{rest}"


# A store joins by one line: its scheme, how its URL is made final, and an example for messages.
_POSTGRES = (_postgres, "postgresql://user:password@host/database")
SUPPORTED: Mapping[str, tuple[Callable[[str, Path], str], str]] = {
    "sqlite": (_sqlite, "sqlite:///gradewatch.db"),
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    # A backend's own variable often names its driver, as SQLAlchemy has it.
    "postgresql+asyncpg": _POSTGRES,
    "postgresql+psycopg": _POSTGRES,
    "postgresql+psycopg2": _POSTGRES,
    **{scheme: (partial(_mongo, scheme), "mongodb://host/database") for scheme in MONGO},
}
