"""What holds for every input: loading never raises, never shows a secret, and reads back each default."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gradewatch.config import Budget, Loaded, ProviderBudget, QueueSettings, Settings, Timeouts, load, parse_duration
from gradewatch.config.foreign import Fields, ForeignSettings, Words
from gradewatch.config.keys import BUDGET_KEYS, FIELD_KEYS, FOREIGN_KEYS, QUEUE_KEYS, SECTIONS, WORD_KEYS, dotted_keys
from gradewatch.config.values import spell
from gradewatch.config.variables import variable_of

DOCS = Path(__file__).parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `([a-z_]+(?:\.[A-Za-z_]+)+)` \| (.+?) \| .+ \|$", re.MULTILINE)


def documented() -> dict[str, str]:
    """Each key of docs/settings.md, with the text of its default."""
    return {
        key: default.strip("`") for key, default in ROW.findall(DOCS.read_text()) if not default.startswith("`GRADE")
    }


def settings_fields() -> Iterator[str]:
    """Each field that settings.py has, as the key that sets it."""
    for section in fields(Settings):
        default = getattr(Settings(), section.name)
        if is_dataclass(default):
            yield from (f"{section.name}.{field.name}" for field in fields(default) if field.name != "budget")
    yield from (f"remediation.budget.{kind}" for kind in Settings().remediation.budget)
    yield from (f"worker.budget.{field.name}" for field in fields(ProviderBudget))
    for field in fields(QueueSettings):
        if field.name == "timeouts":
            yield from (f"queues.NAME.{timeout.name}" for timeout in fields(Timeouts))
        elif field.name not in ("name", "foreign"):
            yield f"queues.NAME.{field.name}"


def foreign_fields() -> Iterator[str]:
    """The same of a queue that another application owns. What `write` holds has the application's own names, and
    `silence` is the queue's heartbeat."""
    yield "queues.NAME.preset"
    for field in fields(ForeignSettings):
        if field.name not in ("fields", "words", "write", "silence"):
            yield f"queues.NAME.{field.name}"
    yield from (f"queues.NAME.fields.{field.name}" for field in fields(Fields))
    yield from (f"queues.NAME.words.{field.name}" for field in fields(Words))


OWNED = {"GRADEWATCH_QUEUES__NAME__PAUSED": "false"}
FOREIGN = {"GRADEWATCH_STORE__URL": "postgresql://host/db", "GRADEWATCH_QUEUES__NAME__TABLE": "jobs"}
ALL_FIELDS = [*settings_fields(), *foreign_fields()]
IS_FOREIGN = frozenset(foreign_fields())


def around(dotted: str) -> dict[str, str]:
    """What else must be set for a key to mean something."""
    return FOREIGN if dotted in IS_FOREIGN else OWNED


def value_at(settings: Settings, dotted: str) -> Any:
    section, *rest = dotted.split(".")
    if dotted in IS_FOREIGN:
        found: Any = settings.queues["name"].foreign
        if rest[1] == "preset":
            return "" if found.fields.id == Fields.id else "mongo-tasks"
        for name in rest[1:]:
            found = getattr(found, name)
        return found
    if section == "queues":
        queue = settings.queues["name"]
        return getattr(queue.timeouts if rest[1] in SECTIONS["timeouts"] else queue, rest[1])
    if dotted.startswith("worker.budget."):
        return getattr(settings.worker.budget, rest[1])
    if rest[0] == "budget":
        return {kind.value: budget for kind, budget in settings.remediation.budget.items()}[rest[1]]
    return getattr(getattr(settings, section), rest[0])


def plain(value: Any) -> str:
    """A setting as a person would write it."""
    if isinstance(value, Budget):
        return f"{value.count}/{spell(value.window)}"
    if isinstance(value, tuple):
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def other(value: Any, dotted: str) -> str:
    """A right value that differs from `value`."""
    words = {
        "store.url": "sqlite:////tmp/other.db",
        "http.host": "0.0.0.0",
        "http.token": "0123456789abcdef",
        "watch.maintenance": '["0 2 * * sun 90m"]',
        "remediation.mode": "off",
        "platform.kind": "none",
        "platform.queues": '["urgent"]',
        "platform.targets": '["worker-1"]',
        "platform.url": "unix:///run/supervisor.sock",
        "platform.restart": '["docker", "restart", "{target}"]',
        "platform.status": '["worker-status"]',
        "platform.env": '["DOCKER_HOST"]',
        "embed.scope": "deployment",
        "log.format": "json",
        "log.level": "debug",
        "queues.NAME.kinds": '["regrade"]',
        "queues.NAME.preset": "mongo-tasks",
        "store.records": "sqlite:////tmp/records.db",
        "worker.ocr": '["vision", "local"]',
        "worker.grading": '["groq", "rubric"]',
        "worker.language_hints": '["de"]',
    }
    if dotted in words:
        return words[dotted]
    if isinstance(value, bool):
        return plain(not value)
    if isinstance(value, tuple):
        return '["other"]'
    if isinstance(value, str):
        return "keep"
    if isinstance(value, Budget):
        return "7/20m"
    return plain(value / 2) if isinstance(value, float) else plain(value + 1)


def test_every_field_of_the_settings_is_a_key_and_every_key_a_field() -> None:
    keys = {*dotted_keys(), *(f"queues.NAME.{key}" for key in QUEUE_KEYS)}
    assert set(settings_fields()) == keys
    queue = {*FOREIGN_KEYS, *(f"fields.{key}" for key in FIELD_KEYS), *(f"words.{key}" for key in WORD_KEYS)}
    assert set(foreign_fields()) == {f"queues.NAME.{key}" for key in queue}
    assert set(BUDGET_KEYS) == {kind.value for kind in Settings().remediation.budget}


def test_every_key_is_documented_and_no_other() -> None:
    assert set(documented()) == set(ALL_FIELDS)


@pytest.mark.parametrize("dotted", ALL_FIELDS)
def test_the_documented_default_is_the_default(dotted: str, tmp_path: Path) -> None:
    said = documented()[dotted]
    defaults = load(environ=around(dotted), cwd=tmp_path).require()
    expected = value_at(defaults, dotted)
    if said == "as `[timeouts]":
        assert expected == value_at(defaults, dotted.replace("queues.NAME", "timeouts"))
        return
    if said == "needed":
        return
    environ = {**around(dotted), variable_of(dotted): said.strip('"')}
    assert value_at(load(environ=environ, cwd=tmp_path).require(), dotted) == expected


@pytest.mark.parametrize("dotted", ALL_FIELDS)
def test_each_key_is_settable_by_file_and_by_variable(dotted: str, tmp_path: Path) -> None:
    base = load(environ=around(dotted), cwd=tmp_path).require()
    was = value_at(base, dotted)
    written = other(was, dotted)
    around_it = around(dotted) if dotted in IS_FOREIGN else {}
    by_variable = load(environ={**around_it, variable_of(dotted): written}, cwd=tmp_path)
    raw = written if re.fullmatch(r"\[.*\]|true|false|[0-9]+(\.[0-9]+)?", written) else json.dumps(written)
    (tmp_path / "gradewatch.toml").write_text(f"{dotted.replace('NAME', 'name')} = {raw}\n")
    by_file = load(environ={k: v for k, v in around_it.items() if k != variable_of(dotted)}, cwd=tmp_path)
    assert by_variable.errors == by_file.errors == ()
    assert value_at(by_variable.settings, dotted) == value_at(by_file.settings, dotted) != was


def written_out(keys: Iterable[str], of: Settings) -> dict[str, str]:
    """As variables; one that is empty would change nothing, and say so, but for the token."""
    said = {dotted: plain(value_at(of, dotted)) for dotted in keys}
    return {variable_of(dotted): text for dotted, text in said.items() if text or dotted == "http.token"}


def test_every_default_written_out_reads_back_as_itself(tmp_path: Path) -> None:
    queue = {"GRADEWATCH_QUEUES__NAME__PAUSED": "false"}
    defaults = load(environ=queue, cwd=tmp_path).require()
    environ = written_out(settings_fields(), defaults)
    result = load(environ=environ, cwd=tmp_path)
    assert (result.errors, result.warnings) == ((), ())
    assert result.settings == defaults


def test_every_default_of_another_applications_queue_reads_back_as_itself(tmp_path: Path) -> None:
    defaults = load(environ=FOREIGN, cwd=tmp_path).require()
    written = written_out(foreign_fields(), defaults)
    result = load(environ=FOREIGN | written, cwd=tmp_path)
    assert (result.errors, result.warnings) == ((), ())
    assert result.settings == defaults


# ---------------------------------------------------------------- any input at all

KEYS = {*(key for keys in SECTIONS.values() for key in keys), *QUEUE_KEYS, *FOREIGN_KEYS, *FIELD_KEYS, *WORD_KEYS}
WORDS = sorted({*SECTIONS, *KEYS, "queues", "budget", "fields", "words", "write", "expire"})
TEXT = st.text(max_size=30)
SCALARS = st.one_of(
    TEXT,
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["5m", "1h30m", "5/1h", "0/1h", "64MB", "act", "sqlite:///x", "0 2 * * sun 90m", "1e9", "-1"]),
)
NAMES = st.one_of(st.sampled_from(WORDS), TEXT)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=8,
)
TREES = st.dictionaries(NAMES, st.one_of(VALUES, st.dictionaries(NAMES, VALUES, max_size=5)), max_size=5)
VARIABLES = st.dictionaries(
    st.one_of(
        st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "GRADEWATCH_" + "__".join(parts).upper()),
        st.sampled_from(["DATABASE_URL", "MONGO_URL", "SUPABASE_URL", "GRADEWATCH_CONFIG"]),
    ),
    st.one_of(TEXT, SCALARS.map(str)),
    max_size=6,
)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(inner) for inner in value) + "]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return str(value).lower()


def load_bytes(content: bytes, environ: Mapping[str, str]) -> Loaded:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "gradewatch.toml").write_bytes(content)
        return load(environ=environ, cwd=Path(folder))


def check(result: Loaded) -> None:
    assert isinstance(result, Loaded)
    for told in (*result.errors, *result.warnings):
        assert told.isprintable()
    assert set(result.settings.remediation.budget) == set(Settings().remediation.budget)
    assert result.settings.queues
    for queue in result.settings.queues.values():
        assert queue.timeouts.heartbeat >= 1.0
    assert result.settings.store.url.startswith("sqlite:////")


@given(tree=TREES, environ=VARIABLES)
def test_no_tree_and_no_environment_raises(tree: dict[str, Any], environ: dict[str, str]) -> None:
    content = "\n".join(f"{toml(key)} = {toml(value)}" for key, value in tree.items())
    check(load_bytes(content.encode("utf-8", "replace"), environ))


@given(
    content=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
)
def test_no_file_raises(content: bytes) -> None:
    check(load_bytes(content, {}))


@given(st.integers(min_value=0, max_value=10**11))
def test_a_duration_reads_back_as_it_was_spelled(milliseconds: int) -> None:
    assert parse_duration(spell(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, rel=1e-12)


# ---------------------------------------------------------------- secrets

SECRETS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20).map(lambda text: f"zQ7{text}kX9")


def places(secret: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Where people put secrets, rightly or wrongly: (text of the file, environment)."""
    quoted = toml(secret)
    for url in (f"postgresql://user:{secret}@host/db", f"mongodb://{secret}@h", f"https://h/?apikey={secret}", secret):
        yield f"[store]\nurl = {toml(url)}", {}
        for variable in ("GRADEWATCH_STORE__URL", "DATABASE_URL", "MONGO_URL", "SUPABASE_URL"):
            yield "", {variable: url}
    yield f"[store]\nrecords = {toml(f'postgresql://user:{secret}@host/db')}\n[queues.q]\ntable = 'jobs'", {}
    for wrong in (f"{secret} ", f" {secret}", f"{secret}\n", secret * 300):
        yield f"[http]\ntoken = {toml(wrong)}", {"GRADEWATCH_HTTP__TOKEN": wrong}
    yield f"[http]\ntoken = {quoted}\ntoken = {quoted}", {}
    yield f"[http]\ntoken = {secret}", {}
    yield f"[http]\ntoken = '{secret}' '{secret}'", {}
    yield f"[http]\ntoken = [{quoted}]", {}
    yield f"[http]\ntokn = {quoted}\n[store]\npassword = {quoted}\n[stor]\nurl = {quoted}", {}
    yield f"[secrets]\ngroq_api_key = {quoted}", {}
    yield f"[queues.q]\nkey = {quoted}", {"GRADEWATCH_API_KEY": secret, "GRADEWATCH_STORE__PASSWORD": secret}
    yield f"[http]\nhost = {toml(f'https://user:{secret}@host/' + 'x' * 300)}", {}
    yield "", {"GRADEWATCH_HTTP_TOKEN": secret, "SUPABASE_SERVICE_ROLE_KEY": secret, "SUPABASE_ANON_KEY": secret}


@settings(max_examples=30)  # dozens of files in each
@given(secret=SECRETS)
@example(secret="zQ7://kX9")
@example(secret='zQ7"\\kX9')
def test_no_secret_is_ever_told(secret: str) -> None:
    for content, environ in places(secret):
        result = load_bytes(content.encode("utf-8"), environ)
        told = "\n".join((*result.errors, *result.warnings, *result.sources))
        assert "zQ7" not in told, (content, environ)
        assert "zQ7" not in repr(result.settings), (content, environ)
