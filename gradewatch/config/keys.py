"""Every key that can be set, and the reader of its value. docs/settings.md lists the same keys for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradewatch.config.foreign import PRESETS, VERBS
from gradewatch.config.maintenance import window
from gradewatch.config.notes import did_you_mean
from gradewatch.config.values import (
    Reader,
    argv,
    budget,
    duration,
    endpoint,
    field_name,
    filled,
    flag,
    fraction,
    host,
    listing,
    name,
    number_or_field,
    scalar,
    size,
    text,
    token,
    whole,
    word,
)
from gradewatch.model import ActionKind

Path = tuple[str, ...]

PLATFORMS = ("process", "kubernetes", "supervisor", "systemd", "render", "command", "webhook", "none")

SECTIONS: Mapping[str, Mapping[str, Reader]] = {
    "store": {"url": text, "timeout": duration(0.1), "records": text},
    "http": {"host": host, "port": whole(0, 65535, 9464), "token": token},
    "watch": {
        "interval": duration(0.1),
        "max_queues": whole(1, 10_000, 200),
        "provider_check": duration(1.0),
        "rescue": flag,
        "rescue_after": duration(),
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
        "batch": whole(1, 5000, 2000),
        "lease": duration(1.0),
    },
    "platform": {
        "kind": word(*PLATFORMS),
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
        "targets": listing(name, ",", '["gradewatch-worker"]'),
        "url": endpoint,
        "restart": argv('["docker", "restart", "{target}"]'),
        "status": argv('["/usr/local/bin/worker-status", "{target}"]'),
        "env": listing(name, ",", '["DOCKER_HOST"]'),
        "user": flag,
        "restart_timeout": duration(0.1, 14.0),
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
    "embed": {"scope": word("process", "pod", "deployment"), "lease": duration(1.0)},
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
_CANDIDATES = listing(field_name, ",", '["created_at"]')
_WORDS = filled(listing(name, ",", '["pending"]'), 'at least one word is needed, such as ["pending"]')
FOREIGN_KEYS: Mapping[str, Reader] = {
    "preset": word(*PRESETS),
    "table": field_name,
    "max_attempts": whole(1, 1000, 3),
    "charge_attempts": flag,
}
"""Of a queue that another application owns: [queues.NAME], beside the keys that every queue has."""
FIELD_KEYS: Mapping[str, Reader] = {
    **dict.fromkeys(("id", "state"), field_name),
    **dict.fromkeys(("created", "started", "finished", "heartbeat", "worker"), _CANDIDATES),
    **dict.fromkeys(("kind", "attempts", "max_attempts", "progress_done", "message", "error", "errors"), field_name),
    "progress_total": number_or_field,
}
WORD_KEYS: Mapping[str, Reader] = {
    **dict.fromkeys(("pending", "running", "succeeded", "failed"), _WORDS),
    "cancelled": listing(name, ",", '["cancelled"]'),
}
NESTED: Mapping[str, Mapping[str, Reader]] = {"fields": FIELD_KEYS, "words": WORD_KEYS}
WRITE = "write"  # [queues.NAME.write.VERB]: any field of the application's
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
    if path[0] == "queues":
        match path[2:]:
            case (key,):
                return QUEUE_KEYS.get(key) or FOREIGN_KEYS.get(key)
            case (table, key) if table in NESTED:
                return NESTED[table].get(key)
            case (table, verb, _) if table == WRITE and verb in VERBS:
                return scalar
            case _:
                return None
    return TABLES.get(path[:-1], {}).get(path[-1])


def is_table(path: Path) -> bool:
    if path[0] != "queues" or len(path) <= 2:
        return path in TABLES or path[0] == "queues"
    return path[2:] in {(table,) for table in (*NESTED, WRITE)} | {(WRITE, verb) for verb in VERBS}


def unknown(path: Path) -> tuple[Path, str]:
    """What is wrong with a `path` that has no reader: the part of it that is wrong, and the sentence that says so."""
    if path[0] not in SECTION_NAMES:
        return path[:1], f"no such {'section' if len(path) > 1 else 'key'}{_nearest_section(path)}"
    if is_table(path):
        return path, "is a section, not a value" + _example(path)
    table = next(path[:n] for n in range(len(path) - 1, 0, -1) if is_table(path[:n]) or n == 1)
    wrong, keys = path[: len(table) + 1], keys_of(table)
    if reader_of(wrong):
        return wrong, "is one value, not a section"
    return wrong, f"no such key{did_you_mean(wrong[-1], (*keys, *_inner(table))) or _elsewhere(wrong[-1])}"


def keys_of(table: Path) -> Mapping[str, Reader]:
    if table[0] != "queues":
        return TABLES[table]
    if len(table) < 3:
        return {**QUEUE_KEYS, **FOREIGN_KEYS}
    return NESTED.get(table[2], dict.fromkeys(VERBS, scalar))


def _inner(table: Path) -> list[str]:
    if table[0] == "queues":
        return [*NESTED, WRITE] if len(table) == 2 else []
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
