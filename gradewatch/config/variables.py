"""GRADEWATCH_SECTION__KEY variables: each overrides one key of the file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

from gradewatch.config.entries import Entry
from gradewatch.config.keys import QUEUE_KEYS, dotted_keys
from gradewatch.config.notes import Notes, did_you_mean

PREFIX = "GRADEWATCH_"
CONFIG_VARIABLE = "GRADEWATCH_CONFIG"
# What a supervisor tells the workers it starts: who they are, not how they are set.
_HANDED_DOWN = frozenset(
    {"GRADEWATCH_TARGET", "GRADEWATCH_INCARNATION", "GRADEWATCH_PARENT_PID", "GRADEWATCH_TERMINATION_LOG"}
)
MAY_BE_EMPTY = (
    ("http", "token"),
    *(("platform", key) for key in ("namespace", "selector", "container", "kubeconfig", "context")),
)
# What Kubernetes puts into every pod for a Service named gradewatch or gradewatch-…: nobody's setting.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?)")
_SERVICE_URL = re.compile(r"(tcp|udp|sctp)://\S+")


def variable_entries(environ: Mapping[str, str], queues: Collection[str], notes: Notes) -> list[Entry]:
    """The entries that the environment holds. `queues` are the names of the file's queues, so that
    QUEUES__MY_QUEUE finds `my-queue`."""
    taken: dict[tuple[str, ...], Entry] = {}
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and name != CONFIG_VARIABLE):
        value = environ[variable]
        if variable in _HANDED_DOWN or _service_link(variable, value):
            continue
        path = path_of(variable, queues)
        if path is None:
            _not_a_key(variable, notes)
        elif not value.strip() and path not in MAY_BE_EMPTY:
            notes.warn(f"{variable} is set and empty: it changes nothing")
        elif path in taken:
            notes.warn(f"{variable} and {taken[path].origin} set the same key: {taken[path].origin} was taken")
        else:
            taken[path] = Entry(path, value, variable)
    return list(taken.values())


def path_of(variable: str, queues: Collection[str] = ()) -> tuple[str, ...] | None:
    """The key that a variable's name stands for; None where the name has no section."""
    section, *rest = variable.removeprefix(PREFIX).lower().split("__")
    if not rest:
        return None
    if section == "queues" and len(rest) > 1:
        return (section, _queue("__".join(rest[:-1]), queues), rest[-1])
    return (section, *rest)


def variable_of(dotted: str) -> str:
    """The variable of a key given as "section.key"."""
    return PREFIX + dotted.upper().replace("-", "_").replace(".", "__")


def _queue(spoken: str, queues: Collection[str]) -> str:
    def plain(queue: str) -> str:
        return re.sub(r"[^a-z0-9]", "_", queue.lower())

    alike = [queue for queue in queues if plain(queue) == plain(spoken)]
    return spoken if spoken in alike or not alike else alike[0]


def _service_link(variable: str, value: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(variable) or (variable.endswith("_PORT") and _SERVICE_URL.fullmatch(value)))


def _not_a_key(variable: str, notes: Notes) -> None:
    meant = {known.replace("__", "_"): known for known in _variables()}
    if variable.upper() in meant:
        notes.error(f"{variable} is not read: two underscores part section and key; did you mean {meant[variable]}?")
    else:
        notes.warn(f"{variable} is not read: no setting has that name{did_you_mean(variable, _variables())}")


def _variables() -> Iterator[str]:
    yield CONFIG_VARIABLE
    yield from map(variable_of, dotted_keys())
    yield from (variable_of(f"queues.default.{key}") for key in QUEUE_KEYS)
