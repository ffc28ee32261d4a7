"""The SQL for a Supabase project: the schema of the PostgreSQL store, and what PostgREST shows of it.

PostgREST shows functions of `public`. There stands, for each function that a store calls, one of the same name behind
`gradewatch_`, which the service_role alone may call: nothing has to be set in the dashboard.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from gradewatch.stores.postgres import schema as base
from gradewatch.stores.supabase.caller import ENVELOPE, PREFIX

LOCK_TIMEOUT = "3s"  # what a call may wait for a lock: less than store.timeout, so that the server says what is wrong
MARK = "Gradewatch: made by gradewatch migrate"
_SAME = (
    "stats overdue held list_sessions get_job list_jobs list_papers changes "
    "submit claim claim_job progress credit_wait save_paper finish repair operate open_session beat end_session "
    "record amend list_audit undo note_repairs unnote list_noted note_undone "
    "control pause resume add_credit acquire release purge purge_credits "
    "get_pages keep_page reserve spend tell_trouble clear_trouble list_troubles "
    "find_object touch_object begin_object end_object lose_object stale_objects forget_objects"
)
# What stores call, and the function of the schema that stands behind it.
CALLED: Mapping[str, str] = {"check": "check_api"} | {name: name for name in _SAME.split()}
_MADE = re.compile(r'CREATE OR REPLACE FUNCTION gradewatch\."?(\w+)"?\(([^)]*)\)\s+RETURNS\s+(\w+)')

_FIRST = f"""\
-- Gradewatch on Supabase. Paste all of it into the SQL editor and run it; it may be run again at any time.
BEGIN;
{base.LOCK};
DO $$
BEGIN
  IF to_regrole('service_role') IS NULL OR to_regrole('anon') IS NULL OR to_regrole('authenticated') IS NULL THEN
    RAISE EXCEPTION 'this is not a database of Supabase: it lacks the roles service_role, anon and authenticated';
  END IF;
  IF to_regclass('gradewatch.meta') IS NULL AND EXISTS (
    SELECT FROM pg_class WHERE relnamespace = to_regnamespace('gradewatch') AND relkind <> 'i') THEN
    RAISE EXCEPTION 'the schema gradewatch is another application''s: use a project of its own for Gradewatch';
  END IF;
  IF to_regclass('gradewatch.meta') IS NOT NULL THEN
    IF (SELECT value::int FROM gradewatch.meta WHERE key = 'schema_version') > {{version}} THEN
      RAISE EXCEPTION 'the schema gradewatch is of a newer version: use the SQL of that version';
    END IF;
  END IF;
END $$;
"""
_DROP = f"""\
-- What PostgREST shows. Those of an earlier version go first.
DO $$
DECLARE
  old regprocedure;
BEGIN
  FOR old IN SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') = '{MARK}'
  LOOP
    EXECUTE 'DROP FUNCTION ' || old;
  END LOOP;
END $$;
"""
_RIGHTS = """\
-- Nobody reaches the tables but these functions' owner: no role of the API has a right on the schema, and row-level
-- security without a policy is a second lock.
REVOKE ALL ON SCHEMA gradewatch FROM PUBLIC, anon, authenticated, service_role;
REVOKE ALL ON ALL TABLES IN SCHEMA gradewatch FROM PUBLIC, anon, authenticated, service_role;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA gradewatch FROM PUBLIC, anon, authenticated, service_role;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA gradewatch FROM PUBLIC, anon, authenticated, service_role;
DO $$
DECLARE
  ours regclass;
BEGIN
  FOR ours IN SELECT oid::regclass FROM pg_class
    WHERE relnamespace = 'gradewatch'::regnamespace AND relkind = 'r' AND NOT relrowsecurity
  LOOP
    EXECUTE 'ALTER TABLE ' || ours || ' ENABLE ROW LEVEL SECURITY';
  END LOOP;
END $$;
"""


@dataclass(frozen=True)
class Function:
    """One of the schema's: its name, its arguments as (name, type, default), and what it returns."""

    name: str
    arguments: tuple[tuple[str, str, str], ...]
    returns: str


@cache
def scripts() -> tuple[tuple[str, str], ...]:
    """This store's own migrations as (name, SQL), in order. Each may be run again."""
    folder = files("gradewatch.stores") / "sql" / "supabase"
    found = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    return tuple((f"supabase/{entry.name.removesuffix('.sql')}", entry.read_text("utf-8")) for entry in found)


@cache
def functions() -> Mapping[str, Function]:
    """Every function of the schema, by name."""
    text = "\n".join(sql for _, sql in (*base.scripts(), *scripts()))
    made = (Function(name, tuple(_arguments(given)), returns) for name, given, returns in _MADE.findall(text))
    return {function.name: function for function in made}


def _arguments(given: str) -> Iterator[tuple[str, str, str]]:
    for one in filter(None, (part.strip() for part in given.replace("\n", " ").split(","))):
        words, _, default = one.partition(" DEFAULT ")
        name, _, kind = words.partition(" ")
        yield name, kind.strip(), default.strip()


@cache
def api() -> str:
    """The functions that PostgREST shows, and who may call them."""
    shown = [_shown(name, functions()[target]) for name, target in CALLED.items()]
    signatures = ",\n  ".join(signature for signature, _ in shown)
    rights = (
        f"REVOKE ALL ON FUNCTION\n  {signatures}\nFROM PUBLIC, anon, authenticated;\n"
        f"GRANT EXECUTE ON FUNCTION\n  {signatures}\nTO service_role;\n"
    )
    return "\n".join([*(sql for _, sql in shown), rights])


def _shown(name: str, target: Function) -> tuple[str, str]:
    """The signature and the SQL of the function that stands for `target`. JSON travels as text both ways: see Rest."""
    kinds = ["text" if kind == "json" else kind for _, kind, _ in target.arguments]
    given = ", ".join(
        f"{word} {kind}" + (f" DEFAULT {default}" if default else "")
        for (word, _, default), kind in zip(target.arguments, kinds, strict=True)
    )
    passed = ", ".join(
        f"{word} => ${place}" + ("::json" if kind == "json" else "")
        for place, (word, kind, _) in enumerate(target.arguments, start=1)
    )
    call = f'gradewatch."{target.name}"({passed})'
    body = f"SELECT json_build_object('{ENVELOPE}', to_json({call})::text)"
    if target.returns == "void":
        body = f"SELECT {call}; SELECT json_build_object('{ENVELOPE}', NULL)"
    signature = f"public.{PREFIX}{name}({', '.join(kinds)})"
    return signature, (
        f"CREATE FUNCTION public.{PREFIX}{name}({given}) RETURNS json LANGUAGE sql VOLATILE\n"
        f"SECURITY DEFINER SET search_path = '' SET lock_timeout = '{LOCK_TIMEOUT}'\n"
        f"AS $$ {body} $$;\n"
        f"COMMENT ON FUNCTION {signature} IS '{MARK}';"
    )


@cache
def digest() -> str:
    """Names this version of what PostgREST shows and of what stands behind it alone."""
    return sha256("\n".join([api(), *(sql for _, sql in scripts())]).encode()).hexdigest()[:16]


@cache
def migration_text() -> str:
    """All of it as one script, which may be run again."""
    parts = [f"-- {name}\n{sql}" for name, sql in (*base.scripts(), *scripts())]
    noted = (
        f"INSERT INTO gradewatch.meta VALUES ('supabase_api', '{digest()}'),\n"
        "  ('parts', (SELECT json_agg(part) FROM gradewatch.parts() AS part)::text)\n"
        "  ON CONFLICT (key) DO UPDATE SET value = excluded.value;"
    )
    first = _FIRST.format(version=len(base.scripts()))
    reload = "NOTIFY pgrst, 'reload schema';"
    return "\n".join([first, *parts, _DROP, api(), _RIGHTS, base.noted(), noted, reload, "COMMIT;", ""])


@cache
def indexes() -> frozenset[str]:
    """Those of this store's own tables."""
    found = re.findall(r"CREATE (?:UNIQUE )?INDEX IF NOT EXISTS (\w+)", "\n".join(sql for _, sql in scripts()))
    return frozenset(found)


def missing_indexes(facts: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(indexes() - frozenset(facts["indexes"])))
