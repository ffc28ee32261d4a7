"""Loading: the file, then the variables over it, then what they amount to. Nothing raises; all is told at once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from gradewatch.config import store_url
from gradewatch.config.checks import doubts
from gradewatch.config.entries import Entry, read_file
from gradewatch.config.foreign import PRESETS, VERBS, ForeignSettings
from gradewatch.config.keys import FOREIGN_KEYS, QUEUE_TIMEOUTS, SECTIONS, is_table, reader_of, unknown
from gradewatch.config.notes import Notes
from gradewatch.config.redact import shown
from gradewatch.config.settings import Loaded, QueueSettings, Settings, StoreSettings, Timeouts
from gradewatch.config.values import Wrong
from gradewatch.config.variables import CONFIG_VARIABLE, variable_entries
from gradewatch.errors import ConfigError

DEFAULT_FILE = "gradewatch.toml"
_QUEUE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")

Values = dict[tuple[str, ...], Any]


def load(path: Path | None = None, environ: Mapping[str, str] | None = None, *, cwd: Path | None = None) -> Loaded:
    """The settings of `path` (else of GRADEWATCH_CONFIG, else of `gradewatch.toml` in `cwd`, which may be absent),
    overridden by the GRADEWATCH_SECTION__KEY variables of `environ` (else of this process).

    Never raises: `errors` holds everything that is wrong, `warnings` what is doubtful; settings in error keep their
    default. A relative path in `store.url` starts from the file's folder when the file says it, else from `cwd`.
    """
    variables = os.environ if environ is None else environ
    notes = Notes()
    folder = _folder(cwd, notes)
    file, entries = _file(path, variables, folder, notes)
    from_file = {entry.path: entry for entry in entries}
    queues = {path[1] for path in from_file if path[0] == "queues" and len(path) > 1}
    found = from_file | {entry.path: entry for entry in variable_entries(variables, queues, notes)}
    if store_url.PATH not in found and (entry := store_url.conventional(variables, notes, file=file is not None)):
        found[entry.path] = entry
    values = _values(found.values(), notes)
    values[store_url.PATH] = _store(found, values, folder, variables, notes)
    store_url.check_key(values[store_url.PATH], variables, notes)
    _records(found, values, folder, notes)
    settings = _settings(found, values, notes)
    _judge(settings, found, values, variables, notes)
    return Loaded(settings, notes.errors, notes.warnings, _sources(file, found))


def _folder(cwd: Path | None, notes: Notes) -> Path:
    try:
        return Path(os.path.abspath(cwd or "."))
    except OSError:
        notes.error("the folder this was started in no longer exists: start it in one that does")
        return Path("/")


def _file(path: Path | None, environ: Mapping[str, str], folder: Path, notes: Notes) -> tuple[Path | None, list[Entry]]:
    named = os.fspath(path) if path is not None else environ.get(CONFIG_VARIABLE, "").strip()
    file = folder / (named or DEFAULT_FILE)
    try:
        return file, read_file(file)
    except FileNotFoundError:
        if not named:
            return None, []
        by = "" if path is not None else f" ({CONFIG_VARIABLE})"
        notes.error(f"the settings file {named}{by} does not exist: name one that does, or none for the defaults")
    except ConfigError as error:
        for problem in error.problems:
            notes.error(problem)
    return file, []


def _values(entries: Iterable[Entry], notes: Notes) -> Values:
    """Each entry's value as a setting. What has none is told: an unknown section once, whatever is in it."""
    values: Values = {}
    told: set[tuple[str, ...]] = set()
    for entry in entries:
        if reader := reader_of(entry.path):
            try:
                values[entry.path] = reader(entry.value)
            except Wrong as wrong:
                notes.error(_refusal(entry, wrong))
        elif not (is_table(entry.path) and entry.value == {}):
            part, why = unknown(entry.path)
            if part not in told:
                notes.error(f"{'.'.join(part)} ({entry.origin}): {why}")
            told.add(part)
    return values


def _refusal(entry: Entry, wrong: Wrong) -> str:
    return f"{entry.key} ({entry.origin}) holds {shown(f'{entry.key} {entry.origin}', entry.value)}: {wrong}"


def _store(
    found: Mapping[tuple[str, ...], Entry], values: Values, folder: Path, environ: Mapping[str, str], notes: Notes
) -> str:
    entry = found.get(store_url.PATH)
    default = store_url.resolve(StoreSettings().url, folder)
    if entry is None or store_url.PATH not in values:
        return default
    try:
        url = store_url.named(values[store_url.PATH], environ)
        return store_url.resolve(url, entry.folder or folder)
    except Wrong as wrong:
        notes.error(_refusal(entry, wrong))
        return default


def _records(found: Mapping[tuple[str, ...], Entry], values: Values, folder: Path, notes: Notes) -> None:
    entry = found.get(store_url.RECORDS)
    if entry is None or not values.get(store_url.RECORDS) or values[store_url.RECORDS] == store_url.SAME:
        return
    try:
        values[store_url.RECORDS] = store_url.resolve(values[store_url.RECORDS], entry.folder or folder)
    except Wrong as wrong:
        notes.error(_refusal(entry, wrong))


def _settings(found: Mapping[tuple[str, ...], Entry], values: Values, notes: Notes) -> Settings:
    defaults = Settings()
    timeouts = replace(defaults.timeouts, **_table(("timeouts",), values))
    budget = {
        kind: values.get(("remediation", "budget", kind.value), was)
        for kind, was in defaults.remediation.budget.items()
    }
    sections = {
        section.name: replace(getattr(defaults, section.name), **_table((section.name,), values))
        for section in fields(defaults)
        if section.name in SECTIONS
    }
    sections["remediation"] = replace(sections["remediation"], budget=budget)
    asked = replace(defaults.worker.budget, **_table(("worker", "budget"), values))
    sections["worker"] = replace(sections["worker"], budget=asked)
    names = list(dict.fromkeys(path[1] for path in found if path[0] == "queues" and len(path) > 1))
    for name in names:
        if not _QUEUE_NAME.fullmatch(name):
            notes.error(
                f"queues.{name}: a queue's name has 1 to 63 letters, digits, dots, dashes and underscores, "
                "and begins with a letter or a digit"
            )
    queues = {name: _queue(name, timeouts, values, notes) for name in names or [QueueSettings().name]}
    return replace(defaults, **sections, queues=queues)


def _queue(name: str, defaults: Timeouts, values: Values, notes: Notes) -> QueueSettings:
    own = _table(("queues", name), values)
    mapped = {key: own.pop(key) for key in FOREIGN_KEYS if key in own}
    foreign = _foreign(name, mapped, own.get("heartbeat"), values, notes)
    if foreign is not None:
        own.setdefault("kinds", ())
        own.setdefault("heartbeat", foreign.silence or defaults.heartbeat)
    timeouts = replace(defaults, **{key: own.pop(key) for key in QUEUE_TIMEOUTS if key in own})
    return QueueSettings(name=name, timeouts=timeouts, foreign=foreign, **own)


def _foreign(
    name: str, own: dict[str, Any], silence: float | None, values: Values, notes: Notes
) -> ForeignSettings | None:
    """Another application's queue: its preset's mapping, with what is set by hand over it. None for one of ours."""
    preset = PRESETS.get(own.pop("preset", ""))
    fields, words = _table(("queues", name, "fields"), values), _table(("queues", name, "words"), values)
    written = {verb: _table(("queues", name, "write", verb), values) for verb in VERBS}
    if preset is None and not own.get("table"):
        if own or fields or words or any(written.values()):
            notes.error(
                f"queues.{name} says how rows of another application are read, and not where they are: set "
                f'queues.{name}.table, or queues.{name}.preset, such as "{next(iter(PRESETS))}"'
            )
        return None
    if not own.get("table"):
        own.pop("table", None)  # the preset's
    base = preset.settings if preset else ForeignSettings(table=own["table"])
    return replace(
        base,
        fields=replace(base.fields, **fields),
        words=replace(base.words, **words),
        write={verb: {**base.write.get(verb, {}), **more} for verb, more in written.items()},
        silence=base.silence if silence is None else silence,
        **own,
    )


def _table(table: tuple[str, ...], values: Values) -> dict[str, Any]:
    return {path[-1]: value for path, value in values.items() if path[:-1] == table}


def _judge(
    settings: Settings,
    found: Mapping[tuple[str, ...], Entry],
    values: Values,
    environ: Mapping[str, str],
    notes: Notes,
) -> None:
    """Tell what does not go together, leaving out whatever concerns a value that was refused already."""
    by_key = {entry.key: entry for entry in found.values()}
    refused = {key for key, entry in by_key.items() if entry.path not in values}
    for doubt in doubts(settings, by_key.__contains__, environ):
        if refused.isdisjoint(doubt.keys):
            origins = dict.fromkeys(by_key[key].origin for key in doubt.keys if key in by_key)
            told = f"{doubt.text} ({'; '.join(origins)})" if origins else doubt.text
            (notes.error if doubt.error else notes.warn)(told)


def _sources(file: Path | None, found: Mapping[tuple[str, ...], Entry]) -> tuple[str, ...]:
    variables = sorted({entry.origin for entry in found.values() if entry.folder is None})
    return (*([str(file)] if file is not None else []), *variables)
