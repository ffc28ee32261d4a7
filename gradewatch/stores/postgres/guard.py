"""PURE. The opt-in guard of another application's table, as SQL: it refuses the late write of a worker whose job was
taken back, where workers write by the job's id alone.

Only jobs that gradewatch itself has changed are guarded, and only until somebody claims or requeues them properly: the
application's own writes are none of its business. What it cannot see is a late write after another worker has claimed
the job, because both write by the same id.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from gradewatch.config.foreign import ForeignSettings

ACTING = "gradewatch.acting"  # set to "on" in a transaction of ours
HEADER = "x-gradewatch-acting"  # the same over PostgREST, which hands headers on

_TEXT = """-- Refuses late writes to jobs of {table} that gradewatch has taken back or failed.
-- To remove it: DROP TRIGGER gradewatch_guard ON {table}; DROP FUNCTION gradewatch_guard.{function}();
BEGIN;
CREATE SCHEMA IF NOT EXISTS gradewatch_guard;
REVOKE ALL ON SCHEMA gradewatch_guard FROM PUBLIC;
CREATE TABLE IF NOT EXISTS gradewatch_guard.held (
  tab text, id text, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tab, id)
);
ALTER TABLE gradewatch_guard.held ENABLE ROW LEVEL SECURITY;

CREATE OR REPLACE FUNCTION gradewatch_guard.{function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $guard$
DECLARE
  since timestamptz;
BEGIN
  IF coalesce(current_setting({acting}, true), '') = 'on'
     OR coalesce(nullif(current_setting('request.headers', true), '')::json ->> {header}, '') = 'on' THEN
    INSERT INTO gradewatch_guard.held (tab, id) VALUES ({name}, OLD.{id}::text)
    ON CONFLICT (tab, id) DO UPDATE SET at = now();
    RETURN NEW;
  END IF;
  SELECT at INTO since FROM gradewatch_guard.held WHERE tab = {name} AND held.id = OLD.{id}::text;
  IF since IS NULL THEN
    RETURN NEW;
  END IF;
  IF (OLD.{state}::text = ANY ({pending}) AND NEW.{state}::text = ANY ({running}))
     OR (NEW.{state}::text = ANY ({pending}) AND OLD.{state}::text <> ALL ({pending}))
     OR NEW.{state}::text = ANY ({cancelled}) THEN
    -- Claimed, queued again, or taken out by a person.
    DELETE FROM gradewatch_guard.held WHERE tab = {name} AND held.id = OLD.{id}::text;
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'job % was taken back by gradewatch at %: this write comes too late', OLD.{id}, since
    USING ERRCODE = 'check_violation', HINT = 'Stop working on it; whoever goes on must claim it first.';
END $guard$;
REVOKE ALL ON FUNCTION gradewatch_guard.{function}() FROM PUBLIC;

CREATE OR REPLACE TRIGGER gradewatch_guard BEFORE UPDATE ON {table}
  FOR EACH ROW EXECUTE FUNCTION gradewatch_guard.{function}();
COMMIT;
"""


def guard_text(settings: ForeignSettings) -> str:
    """The guard of one table, as a script that may be run again."""
    fields, words = settings.fields, settings.words
    parts = settings.table.split(".")
    return (
        sql.SQL(_TEXT)
        .format(
            table=sql.Identifier(*parts),
            function=sql.Identifier(f"guard_{'_'.join(parts)}"),
            name=sql.Literal(settings.table),
            id=sql.Identifier(fields.id),
            state=sql.Identifier(fields.state),
            pending=_listed(words.pending),
            running=_listed(words.running),
            cancelled=_listed(words.cancelled),
            acting=sql.Literal(ACTING),
            header=sql.Literal(HEADER),
        )
        .as_string(None)
    )


def _listed(words: Sequence[str]) -> sql.Composable:
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(sql.Literal(word) for word in words))
