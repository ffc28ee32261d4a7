"""Every key that can be set, and the reader of its value. docs/settings.md lists the same keys for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradewatch.config.maintenance import window
from gradewatch.config.notes import did_you_mean
from gradewatch.config.values import (
    Reader,
    budget,
    duration,
    filled,
    flag,
    fraction,
    host,
    listing,
    name,
    size,
    text,
    token,
    whole,
    word,
)
from gradewatch.model import ActionKind

Path = tuple[str, ...]

PLATFORMS = ("process", "none", "kubernetes")
PLATFORMS_LATER = ("render", "supervisor", "systemd", "command", "webhook")

SECTIONS: Mapping[str, Mapping[str, Reader]] = {
    "store": {"url": text, "timeout": duration(0.1)},
    "http": {"host": host, "port": whole(0, 65535, 9464), "token": token},
    "watch": {
        "interval": duration(0.1),
        "max_queues": whole(1, 10_000, 200),
        "provider_check": duration(1.0),
        "maintenance": listing(window, ";", '["0 2 * * sun 90m"]'),
    },
    "timeouts": {"schedule_to_start": duration(), "start_to_close": duration(), "heartbeat": duration(1.0)},
    "remediation": {
        "mode": word("act", "dry-run", "off"),
        "cooldown": duration(),
        "cooldown_max": duration(),
        "verify": duration(),
        "start_grace": duration(0.0),
        "wedged_after": duration(),
        "batch": whole(1, 5000, 1000),
        "lease": duration(1.0),
    },
    "platform": {
        "kind": word(*PLATFORMS, later=PLATFORMS_LATER),
        "timeout": duration(0.1),
        "queues": listing(name, ",", '["default"]'),
        "namespace": text,
        "deployment": name,
        "selector": text,
        "container": text,
        "scale_up": flag,
        "lease": name,
        "service_account": name,
        "kubeconfig": text,
        "context": text,
    },
    "worker": {
        "processes": whole(0, 256, 2),
        "slots": whole(1, 1024, 2),
        "http_port": whole(0, 65535, 9465),
        "drain": duration(0.0),
        "poll": duration(0.01),
        "max_pages": whole(1, 100_000, 200),
        "max_paper_bytes": size(1, 4 << 30),
        "max_image_pixels": whole(1, 10**10, 60_000_000),
        "review_below": fraction,
        "ocr": listing(word("vision", "local"), ",", '["vision", "local"]'),
        "grading": listing(word("groq", "rubric"), ",", '["groq", "rubric"]'),
        "papers": whole(1, 256, 8),
        "provider_timeout": duration(0.1),
        "language_hints": listing(name, ",", '["en"]'),
        "groq_model": name,
    },
    "retention": {"finished": duration(1.0), "audit": duration(1.0)},
    "log": {
        "format": word("auto", "console", "json"),
        "level": word("debug", "info", "warning", "error", "critical"),
    },
}
QUEUE_TIMEOUTS: Mapping[str, Reader] = SECTIONS["timeouts"]
QUEUE_KEYS: Mapping[str, Reader] = {
    **QUEUE_TIMEOUTS,
    "kinds": filled(listing(name, ",", '["grade"]'), 'at least one kind of job is needed, such as ["grade"]'),
    "on_schedule_to_start": word("fail", "keep"),
    "on_start_to_close": word("fail", "keep"),
    "on_lost": word("requeue", "fail", "keep"),
    "paused": flag,
}
QUEUE_KEYS_LATER = ("preset",)
BUDGET_KEYS: Mapping[str, Reader] = {kind.value: budget for kind in ActionKind}
PROVIDER_BUDGET_KEYS: Mapping[str, Reader] = {
    "calls_per_job": whole(0, 10**12, 10_000),
    "tokens_per_job": whole(0, 10**12, 10_000_000),
    "calls_per_day": whole(0, 10**12, 50_000),
    "tokens_per_day": whole(0, 10**12, 50_000_000),
}

TABLES: Mapping[Path, Mapping[str, Reader]] = {
    **{(section,): keys for section, keys in SECTIONS.items()},
    ("remediation", "budget"): BUDGET_KEYS,
    ("worker", "budget"): PROVIDER_BUDGET_KEYS,
}
SECTION_NAMES = (*SECTIONS, "queues")


def reader_of(path: Path) -> Reader | None:
    """The reader of the value at `path`; None where no such key exists."""
    if len(path) == 3 and path[0] == "queues":
        return QUEUE_KEYS.get(path[2])
    return TABLES.get(path[:-1], {}).get(path[-1])


def is_table(path: Path) -> bool:
    return path in TABLES or (path[0] == "queues" and len(path) <= 2)


def unknown(path: Path) -> tuple[Path, str]:
    """What is wrong with a `path` that has no reader: the part of it that is wrong, and the sentence that says so."""
    if path[0] not in SECTION_NAMES:
        return path[:1], f"no such {'section' if len(path) > 1 else 'key'}{_nearest_section(path)}"
    if is_table(path):
        return path, "is a section, not a value" + _example(path)
    table = path[:2] if is_table(path[:2]) and len(path) > 2 else path[:1]
    wrong, keys = path[: len(table) + 1], keys_of(table)
    if reader_of(wrong):
        return wrong, "is one value, not a section"
    if table[0] == "queues" and wrong[-1] in QUEUE_KEYS_LATER:
        return wrong, "is for queues of other applications; this version watches its own queues only: remove it"
    return wrong, f"no such key{did_you_mean(wrong[-1], (*keys, *_inner(table))) or _elsewhere(wrong[-1])}"


def keys_of(table: Path) -> Mapping[str, Reader]:
    return QUEUE_KEYS if table[0] == "queues" else TABLES[table]


def _inner(table: Path) -> list[str]:
    return [other[-1] for other in TABLES if other[:-1] == table]


def dotted_keys() -> Iterator[str]:
    """Every key but the queues', as "section.key"."""
    for table, keys in TABLES.items():
        yield from (".".join((*table, key)) for key in keys)


def _nearest_section(path: Path) -> str:
    return did_you_mean(path[0], SECTION_NAMES) or _elsewhere(path[-1])


def _elsewhere(key: str) -> str:
    homes = [dotted for dotted in dotted_keys() if dotted.rpartition(".")[2] == key.lower()]
    return f"; did you mean {' or '.join(homes)}?" if homes else ""


def _example(path: Path) -> str:
    if path == ("queues",):
        return ": name the queue, such as [queues.tasks]"
    return f": set its keys, such as {'.'.join(path)}.{next(iter(keys_of(path)))}"
