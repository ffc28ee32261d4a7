"""Where the contract suite for other applications' queues runs. A place joins by one line in PLACES.

Each holds rows in the shape its preset was made for, with ages by its own clock, and knows nothing of gradewatch.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import mongo_server
import postgres_server
import psycopg
import supabase_project
from psycopg import sql
from psycopg.rows import dict_row

from gradewatch.config.foreign import PRESETS, ForeignSettings
from gradewatch.model import JobState
from gradewatch.stores.mapping import ForeignTable
from gradewatch.stores.mongo.foreign import MongoTable
from gradewatch.stores.postgres.foreign import PostgresTable
from gradewatch.stores.supabase.client import SupabaseClient
from gradewatch.stores.supabase.foreign import SupabaseTable

TIMEOUT = 5.0


@dataclass(frozen=True)
class Ago:
    """A time so many seconds before now, by the clock of the place, written in a form."""

    seconds: float
    form: str = "date"


def ago(seconds: float, form: str = "date") -> Ago:
    return Ago(seconds, form)


FORMS = {
    "date": lambda when: when,
    "Z": lambda when: when.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
    "naive": lambda when: when.replace(tzinfo=None).isoformat(),
    "blank": lambda when: when.strftime("%Y-%m-%d %H:%M:%S+00:00"),
    "offset": lambda when: (when + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%dT%H:%M:%S+05:30"),
    "minutes": lambda when: when.strftime("%Y-%m-%dT%H:%MZ"),
    "seconds": lambda when: when.timestamp(),
    "millis": lambda when: round(when.timestamp() * 1000),
}
"""How an application may write a time, where its fields take any type."""


class Place(Protocol):
    preset: str
    any_type: bool  # a field takes values of every type
    unique: bool  # an id stands once at most
    forms: Sequence[str]  # of times

    def __init__(self) -> None: ...
    def table(self, settings: ForeignSettings) -> ForeignTable: ...
    def add(self, fields: Mapping[str, Any]) -> Any:
        """A row, with times written in their forms; returns its id."""
        ...

    def row(self, id: Any) -> dict[str, Any]: ...
    def set(self, id: Any, fields: Mapping[str, Any]) -> None: ...
    def names(self) -> list[str]:
        """Everything there is beside the rows: tables or collections, and indexes."""
        ...


class Postgres:
    """`public.jobs`, as a Supabase user has it."""

    preset = "supabase-jobs"
    any_type, unique = False, True
    forms: Sequence[str] = ("date",)
    column = "timestamptz"  # of its times

    def __init__(self) -> None:
        server = postgres_server.server()
        if not server.sql("SELECT 1 FROM pg_database WHERE datname = 'application'"):
            server.sql("CREATE DATABASE application")
        self.url = server.url("application")
        self.sql("DROP TABLE IF EXISTS public.jobs CASCADE")
        self._make()

    def _make(self) -> None:
        self.sql(f"""CREATE TABLE public.jobs (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(), job_type text NOT NULL DEFAULT 'grading',
            status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'started', 'finished', 'failed')),
            priority int NOT NULL DEFAULT 0, job_data jsonb NOT NULL DEFAULT '{{}}', progress int NOT NULL DEFAULT 0,
            status_message text, result jsonb, error_message text, error_traceback text,
            created_at {self.column} DEFAULT now(), started_at {self.column}, finished_at {self.column},
            worker_id text, attempts int NOT NULL DEFAULT 0, max_attempts int NOT NULL DEFAULT 3)""")

    def sql(self, statement: str | sql.Composable, given: Sequence[Any] = ()) -> list[dict[str, Any]]:
        with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as hand:
            if isinstance(statement, str):
                statement = sql.SQL(statement)  # type: ignore[arg-type]
            cursor = hand.execute(statement, given or None)
            return list(cursor.fetchall()) if cursor.description else []

    def table(self, settings: ForeignSettings) -> ForeignTable:
        return PostgresTable(self.url, settings, timeout=TIMEOUT)

    def now(self) -> datetime:
        now: datetime = self.sql("SELECT clock_timestamp() AS now")[0]["now"]
        return now

    def said(self, value: Any) -> Any:
        if isinstance(value, Ago):
            return FORMS[value.form](self.now() - timedelta(seconds=value.seconds))
        return value

    def add(self, fields: Mapping[str, Any]) -> Any:
        names = sql.SQL(", ").join(map(sql.Identifier, fields))
        values = sql.SQL(", ").join(sql.Placeholder() * len(fields))
        made = sql.SQL("INSERT INTO public.jobs ({}) VALUES ({}) RETURNING id").format(names, values)
        return self.sql(made, [self.said(value) for value in fields.values()])[0]["id"]

    def row(self, id: Any) -> dict[str, Any]:
        return self.sql("SELECT * FROM public.jobs WHERE id = %s", [id])[0]

    def set(self, id: Any, fields: Mapping[str, Any]) -> None:
        sets = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in fields)
        statement = sql.SQL("UPDATE public.jobs SET {} WHERE id = %s").format(sets)
        self.sql(statement, [*(self.said(value) for value in fields.values()), id])

    def names(self) -> list[str]:
        found = self.sql("SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        return sorted(row["name"] for row in found)


class TextPostgres(Postgres):
    """The same with times that are text, of any form."""

    column = "text"
    forms = ("Z", "naive", "offset", "minutes")

    def said(self, value: Any) -> Any:
        return super().said(replace(value, form="Z") if isinstance(value, Ago) and value.form == "date" else value)


class Supabase(Postgres):
    """The same table in a project, of which only PostgREST is known."""

    def __init__(self) -> None:
        self.project = supabase_project.project()
        self.url = self.project.server.url(self.project.database)
        if not self.sql("SELECT 1 FROM pg_class WHERE oid = to_regclass('public.jobs')"):
            self._make()
            self.sql("GRANT ALL ON public.jobs TO service_role; NOTIFY pgrst, 'reload schema'")
            self._noticed()
        self.sql("TRUNCATE public.jobs")

    def _noticed(self) -> None:
        """PostgREST reads the schema anew in its own time."""
        deadline = time.monotonic() + 20
        asked = urllib.request.Request(
            f"{self.project.url}/rest/v1/jobs?limit=0",
            headers={"apikey": self.project.key, "Authorization": f"Bearer {self.project.key}"},
        )
        while not self._there(asked):
            assert time.monotonic() < deadline, "PostgREST has not noticed the table"
            time.sleep(0.05)

    def _there(self, asked: urllib.request.Request) -> bool:
        try:
            with urllib.request.urlopen(asked, timeout=5):
                return True
        except urllib.error.HTTPError:
            return False

    def table(self, settings: ForeignSettings) -> ForeignTable:
        return SupabaseTable(SupabaseClient(self.project.url, self.project.key, timeout=TIMEOUT), settings)


class Mongo:
    """`tasks`, as a FastAPI backend has it: on a server without transactions, and without an index."""

    preset = "mongo-tasks"
    any_type, unique = True, False
    forms: Sequence[str] = tuple(FORMS)
    server = staticmethod(mongo_server.standalone)
    indexed = False

    def __init__(self) -> None:
        self.client = self.server().client(tz_aware=True)
        self.tasks = self.client["application"]["tasks"]
        self.tasks.drop()
        self.client["application"].create_collection("tasks")
        if self.indexed:
            self.tasks.create_index([("status", 1), ("created_at", 1)])
            self.tasks.create_index([("status", 1), ("started_at", 1)])
            self.tasks.create_index("task_id")
        self._made = 0

    def table(self, settings: ForeignSettings) -> ForeignTable:
        return MongoTable(self.server().url("application"), settings, timeout=TIMEOUT)

    def now(self) -> datetime:
        local: datetime = self.client.admin.command("hello")["localTime"]
        return local.replace(tzinfo=UTC)

    def said(self, value: Any) -> Any:
        if isinstance(value, Ago):
            return FORMS[value.form](self.now() - timedelta(seconds=value.seconds))
        return value

    def add(self, fields: Mapping[str, Any]) -> Any:
        self._made += 1
        made = {"task_id": f"task-{self._made}", "payload": {"papers": ["a.pdf"]}} | {
            name: self.said(value) for name, value in fields.items()
        }
        self.tasks.insert_one(made)
        return made["task_id"]

    def row(self, id: Any) -> dict[str, Any]:
        found = self.tasks.find_one({"task_id": id})
        assert found is not None
        return dict(found)

    def set(self, id: Any, fields: Mapping[str, Any]) -> None:
        self.tasks.update_one({"task_id": id}, {"$set": {name: self.said(value) for name, value in fields.items()}})

    def names(self) -> list[str]:
        there = self.client["application"]
        return sorted(
            f"{name}.{index}" for name in there.list_collection_names() for index in there[name].index_information()
        )


class IndexedMongo(Mongo):
    """The same on a replica set, with the indexes that `migrate --indexes` makes."""

    server = staticmethod(mongo_server.server)
    indexed = True


PLACES: dict[str, type[Place]] = {
    "postgres": Postgres,
    "postgres-text": TextPostgres,
    "supabase": Supabase,
    "mongo": Mongo,
    "mongo-indexed": IndexedMongo,
}

_SHAPES = {  # what a row in each state holds beside its times, in the words of each preset
    "supabase-jobs": {"worker": "worker_id", "kind": "job_type", "error": "error_message"},
    "mongo-tasks": {"worker": "worker_id", "kind": "type", "error": "error"},
}


def word(place: Place, state: JobState) -> str:
    return PRESETS[place.preset].settings.words.of(state)[0]


def in_its_words(place: Place, given: Mapping[str, Any]) -> dict[str, Any]:
    """A row's fields, from what they mean: `state`, `created`, `started`, `finished`, `worker`, `kind`, `error`; other
    names stand for themselves."""
    fields = PRESETS[place.preset].settings.fields
    names = {"state": fields.state, "created": fields.created[0], "started": fields.started[0], "id": fields.id}
    names |= {"finished": fields.finished[0], **_SHAPES[place.preset]}
    said = {names.get(name, name): value for name, value in given.items()}
    if isinstance(state := given.get("state"), JobState):
        said[fields.state] = word(place, state)
    return said
