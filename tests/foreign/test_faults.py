"""What goes wrong between the watch and another application's rows: each told apart, none taken for an empty queue, no
repair on a guess."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import mongo_server
import postgres_server
import pytest
from foreign_kit import FAILED, PENDING, RUNNING, SUCCEEDED, There, expire, requeue
from places import PLACES, IndexedMongo, Mongo, Postgres, ago
from pymongo import MongoClient

from gradewatch.config.foreign import PRESETS, Fields
from gradewatch.errors import AccessDenied, Conflict, SchemaMismatch, StoreUnavailable
from gradewatch.model import Outcome
from gradewatch.stores.mapping.table import Select
from gradewatch.stores.mapping.times import Unreadable, read_time
from gradewatch.stores.mongo.foreign import MongoTable
from gradewatch.stores.postgres.foreign import PostgresTable
from gradewatch.stores.sqlite import SqliteStore

HOUR = 3600.0
JOBS, TASKS = PRESETS["supabase-jobs"].settings, PRESETS["mongo-tasks"].settings


@pytest.fixture
async def there(request: pytest.FixtureRequest, tmp_path: Path):
    made = There(PLACES[getattr(request, "param", "postgres")](), tmp_path)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


both = pytest.mark.parametrize("there", ["postgres", "mongo-indexed"], indirect=True)


# ---------------------------------------------------------------- clocks


@both
@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
async def test_records_by_a_clock_that_is_an_hour_off(there: There, ahead: float) -> None:
    """Ages go by the rows' clock alone: nothing is late for the difference, and a wait begun anew is."""

    def clock() -> int:
        return time.time_ns() // 1000 + int(ahead * 1e6)

    await there.again(records=SqliteStore(there.folder / "off.db", clock=clock))
    held = there.add(RUNNING, created=ago(900), started=ago(800), worker="w1")
    late = there.add(created=ago(400))
    beats = await there.worker("w2")
    await there.look()
    [session] = [s for s in await there.store.sessions() if s.id == beats]
    assert abs((there.place.now() - session.beat_at).total_seconds()) < 30
    assert abs((there.place.now() - (await there.store.control({})).now).total_seconds()) < 30

    assert await there.outcomes(expire(await there.one()), requeue(await there.one(RUNNING))) == [Outcome.APPLIED] * 2
    await there.look()
    assert await there.late() == [], "it waits since it was taken back, and that was now"
    [waiting] = await there.late(age=0.0)
    assert abs((there.place.now() - waiting.run_at).total_seconds()) < 30
    there.set(held, state=RUNNING, started=ago(-5), worker="w2")
    assert (await there.look()).run_twice == (), "it was claimed again, after it was taken back"
    there.set(late, state=RUNNING, started=ago(-5))
    assert (await there.look()).run_twice == (), "somebody queued it again, and it was claimed"
    there.set(late, started=None)
    assert [job for job, _ in (await there.look()).run_twice] == [str(late)]


# ---------------------------------------------------------------- Supabase


@pytest.mark.parametrize("there", ["supabase"], indirect=True)
async def test_many_repairs_take_as_long_as_they_need_and_each_has_its_deadline(there: There) -> None:
    there.place.sql("INSERT INTO public.jobs (created_at) SELECT now() - interval '1 hour' FROM generate_series(1, 80)")
    late = await there.late()
    table = there.foreign.table
    table._client.timeout = 1.0
    there.place.project.gateway.delay = 0.1  # for all of them two seconds, four at a time
    try:
        assert await there.outcomes(*map(expire, late)) == [Outcome.APPLIED] * 80
    finally:
        there.place.project.gateway.delay = 0.0


# ---------------------------------------------------------------- PostgreSQL


async def test_a_write_that_a_check_refuses_is_told_and_not_noted(there: There) -> None:
    await there.again(words=replace(there.mapping.words, failed=("given_up",)))
    late = there.add(created=ago(400))
    with pytest.raises(Conflict, match="jobs_status_check"):
        await there.repair(expire(await there.one()))
    assert there.state(late) is PENDING
    assert await there.spent() == {}
    assert {outcome for _, _, outcome in await there.audit()} == {"noop"}


async def test_a_word_outside_the_check_is_told_of(there: There) -> None:
    there.place.sql("ALTER TABLE public.jobs DROP CONSTRAINT jobs_status_check")
    odd, late = there.add("paused", created=ago(9000)), there.add(created=ago(400))
    facts = await there.look()
    assert [line for line in facts.unreadable if str(odd) in line and "'paused'" in line]
    assert (await there.one()).id == str(late)


def login(place: Postgres, role: str, *grants: str) -> str:
    """The URL of a role that may do just this."""
    place.sql(f"DROP OWNED BY {role}") if place.sql(f"SELECT FROM pg_roles WHERE rolname = '{role}'") else None
    place.sql(f"DROP ROLE IF EXISTS {role}")
    place.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    for grant in grants:
        place.sql(f"GRANT {grant} TO {role}")
    return postgres_server.server().url("application", user=role, password="secret")


@pytest.mark.parametrize(
    ("grants", "rls", "told"),
    [
        ((), "", "lacks SELECT and UPDATE"),
        (("SELECT ON public.jobs",), "", "lacks UPDATE"),
        (("SELECT, UPDATE ON public.jobs",), "ALTER TABLE public.jobs ENABLE ROW LEVEL SECURITY", "hides rows"),
    ],
    ids=["nothing", "read only", "row level security"],
)
async def test_a_role_that_may_not_is_told_so_and_sees_no_empty_queue(
    there: There, grants: tuple[str, ...], rls: str, told: str
) -> None:
    there.add(created=ago(400))
    if rls:
        there.place.sql(rls)
    table = PostgresTable(login(there.place, "app_reader", *grants), JOBS, timeout=5.0)
    try:
        for ask in (table.shape(), table.count(("queued",), None, 10), table.find(["x"])):
            with pytest.raises(AccessDenied, match=told) as refused:
                await ask
            assert "secret" not in str(refused.value)
    finally:
        await table.close()


@pytest.mark.parametrize(
    ("table", "fields", "told"),
    [
        ("public.nowhere", JOBS.fields, "public.nowhere is not there"),
        ("nowhere.jobs", JOBS.fields, "nowhere.jobs is not there"),
        ("public.jobs", replace(JOBS.fields, state="phase"), "no column phase"),
        ("public.jobs", Fields(id="job_id", state="phase"), "no column job_id or phase"),
    ],
)
async def test_a_table_or_column_that_is_not_there(there: There, table: str, fields: Fields, told: str) -> None:
    wrong = PostgresTable(there.place.url, replace(JOBS, table=table, fields=fields), timeout=5.0)
    try:
        with pytest.raises(SchemaMismatch, match=told):
            await wrong.count(("queued",), None, 10)
    finally:
        await wrong.close()


async def test_a_lock_on_the_table_is_an_outage_and_repairs_nothing(there: There) -> None:
    import psycopg

    late = there.add(created=ago(400))
    ref = await there.one()
    there.foreign.table._timeout = 0.5
    with psycopg.connect(there.place.url) as holder:
        holder.execute("LOCK TABLE public.jobs IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await there.repair(expire(ref))
        assert time.monotonic() - began < 5
        holder.rollback()
    assert there.state(late) is PENDING


async def test_lists_in_columns_get_one_more(there: There) -> None:
    for kind in ("jsonb", "text[]"):
        there.place.sql("ALTER TABLE public.jobs DROP COLUMN IF EXISTS errors")
        there.place.sql(f"ALTER TABLE public.jobs ADD COLUMN errors {kind}")
        await there.again(fields=replace(JOBS.fields, errors="errors"))
        late = there.add(created=ago(400))
        assert await there.outcomes(expire(await there.one()), sweep=kind) == [Outcome.APPLIED]
        assert there.row(late)["errors"] == ["It waited too long."]
        await there.undo(kind)
        assert there.row(late)["errors"] is None
        there.set(late, state=FAILED)


@pytest.mark.parametrize("kind", ["bigint", "double precision"])
async def test_times_in_numbers(there: There, kind: str) -> None:
    there.place.sql("ALTER TABLE public.jobs DROP COLUMN created_at, DROP COLUMN started_at, DROP COLUMN finished_at")
    there.place.sql(f"ALTER TABLE public.jobs ADD created_at {kind}, ADD started_at {kind}, ADD finished_at {kind}")
    now = there.place.now().timestamp()
    late, zero, millis = (there.add(created=int(at)) for at in (now - 400, 0, (now - 500) * 1000))
    await there.again()
    assert [ref.id for ref in await there.late()] == [str(millis), str(late)]
    assert [line for line in (await there.look()).unreadable if str(zero) in line]
    assert await there.outcomes(*map(expire, await there.late())) == [Outcome.APPLIED] * 2
    assert abs(there.row(late)["finished_at"] - now) < 60
    assert abs(there.row(millis)["finished_at"] - now * 1000) < 60_000


async def test_the_guard_refuses_late_writes_and_nothing_else(there: There) -> None:
    import psycopg

    there.place.sql("ALTER TABLE public.jobs DROP CONSTRAINT jobs_status_check")
    await there.again(words=replace(JOBS.words, cancelled=("cancelled",)))
    for _ in range(2):
        await there.store.make_guards()  # it may be installed again
    lost, late, dropped = (
        there.add(RUNNING, created=ago(900), started=ago(800), worker="w1"),
        there.add(created=ago(400)),
        there.add(created=ago(390)),
    )
    free = there.add(created=ago(10))
    actions = [requeue(await there.one(RUNNING)), *map(expire, await there.late())]
    assert await there.outcomes(*actions) == [Outcome.APPLIED] * 3
    for job in (lost, late):
        with pytest.raises(psycopg.errors.CheckViolation, match="was taken back by gradewatch"):
            there.set(job, state=SUCCEEDED, finished=ago(0))
    there.set(free, state=RUNNING, started=ago(0))
    there.set(free, state=SUCCEEDED, finished=ago(0))
    there.set(dropped, state="cancelled")
    there.set(lost, state=RUNNING, started=ago(-5), worker="w2")  # claimed properly
    there.set(lost, state=SUCCEEDED, finished=ago(-6))
    assert await there.undo() == [(str(dropped), False), (str(late), True), (str(lost), False)]
    assert (await there.look()).run_twice == ()
    assert any("DROP TRIGGER gradewatch_guard" in text for text in there.store.guard_statements())


# ---------------------------------------------------------------- MongoDB


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mongo_server.Server]:
    """A server that asks for a login."""
    keyfile = tmp_path_factory.mktemp("mongo") / "key"
    keyfile.write_text("k" * 64)
    keyfile.chmod(0o600)
    server = mongo_server.new_server(replica_set="", keyfile=keyfile)
    try:
        with server.client() as hand:
            hand.admin.command("createUser", "root", pwd="secret", roles=["root"])
        with MongoClient(server.url("admin", user="root", password="secret")) as hand:
            hand["application"]["tasks"].insert_one({"task_id": "t1", "status": "pending"})
            actions = {"finds": ["find"], "writes": ["find", "update"], "other": ["find", "update"]}
            for user, allowed in actions.items():
                where = {"db": "application", "collection": "tasks" if user != "other" else "papers"}
                granted = [{"resource": where, "actions": allowed}]
                hand["application"].command("createRole", user, privileges=granted, roles=[])
                hand.admin.command("createUser", user, pwd="secret", roles=[{"role": user, "db": "application"}])
            hand.admin.command("createUser", "owner", pwd="secret", roles=[{"role": "readWrite", "db": "application"}])
        yield server
    finally:
        server.remove()


@pytest.mark.parametrize(
    ("user", "password", "kind", "told"),
    [
        ("finds", "secret", AccessDenied, "lacks update"),
        ("other", "secret", (AccessDenied, SchemaMismatch), "collection tasks"),
        ("owner", "wrong", AccessDenied, "refused the user or the password"),
    ],
)
async def test_a_user_that_may_not_is_told_so(guarded, user: str, password: str, kind, told: str) -> None:
    table = MongoTable(guarded.url("application", user=user, password=password), TASKS, timeout=5.0)
    try:
        with pytest.raises(kind, match=told) as refused:
            await table.shape()
        assert password not in str(refused.value).replace("the password", "")
    finally:
        await table.close()


@pytest.mark.parametrize("user", ["writes", "owner"])
async def test_a_user_with_just_enough_may_watch(guarded, user: str) -> None:
    table = MongoTable(guarded.url("application", user=user, password="secret"), TASKS, timeout=5.0)
    try:
        await table.shape()
        assert await table.count(("pending",), None, 10) == 1
        assert [row["task_id"] for row in await table.find(["t1"])] == ["t1"]
    finally:
        await table.close()


async def test_a_collection_that_is_not_there_or_is_a_view() -> None:
    place = Mongo()
    place.tasks.database.drop_collection("seen")
    place.tasks.database.create_collection("seen", viewOn="tasks", pipeline=[])
    for name, told in (("nowhere", "is not there"), ("seen", "is a view")):
        table = place.table(replace(TASKS, table=name))
        with pytest.raises(SchemaMismatch, match=told):
            await table.shape()
        await table.close()
    place.tasks.database.drop_collection("seen")


@pytest.mark.parametrize("there", ["mongo", "mongo-indexed"], indirect=True)
async def test_ids_of_any_type_are_found_as_they_are_written(there: There) -> None:
    from bson import ObjectId

    ids = [ObjectId(), 42, 2**40, "plain", "42x"]
    made = [there.add(id=one, created=ago(500 - place)) for place, one in enumerate(ids)]
    refs = await there.late()
    assert [ref.id for ref in refs] == [str(one) for one in made]
    for one in made:
        assert (await there.store.job(str(one))).id == str(one)
    assert await there.outcomes(*map(expire, refs)) == [Outcome.APPLIED] * len(ids)
    assert [there.state(one) for one in made] == [FAILED] * len(ids)


VALUES = [
    None, "", " ", "yesterday", "2026-03-02", "2026-03-02T09:00", "2026-03-02T09:00:00Z", "2026-03-02T09:00:00z",
    "2026-03-02 09:00:00", "2026-03-02T09:00:00.123456", "2026-03-02T09:00:00.123456789Z", "2026-03-02T09:00:00,5Z",
    "2026-03-02T09:00:00+05:30", "2026-03-02T09:00:00-0800", "2026-03-02T09:00:00+00", "2026-03-02 09:00:00 UTC",
    " 2026-03-02T09:00:00Z ", "2026-02-30T09:00:00Z", "2026-13-01T00:00:00Z", "2026-03-02T25:00:00Z",
    "2026-03-02T09:60Z", "1970-06-01T00:00:00Z", "1971-06-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z",
    "2026-03-02T09:00:00Zx", 0, 1, -5, 1.5, 1772442000, 1772442000.5, 1772442000000, 10**18, float("nan"), float("inf"),
    float("-inf"), True, False, {}, {"$date": 1}, [], [1772442000], ["2026-03-02T09:00:00Z"],
    datetime(2026, 3, 2, tzinfo=UTC), datetime(1969, 1, 1, tzinfo=UTC), [datetime(2026, 3, 2, tzinfo=UTC)],
    b"2026-03-02T09:00:00Z",
]  # fmt: skip


def readable(found: object) -> bool:
    try:
        return read_time(found) is not None
    except Unreadable:
        return False


@pytest.mark.parametrize("place", [Mongo, IndexedMongo])
async def test_the_server_takes_for_a_time_what_we_do(place: type[Mongo]) -> None:
    """Else a row would hide another, or be seen by nobody."""
    there = place()
    there.tasks.insert_many(
        [{"task_id": n, "status": "pending", "created_at": found} for n, found in enumerate([*VALUES, *VALUES])]
    )
    table = there.table(TASKS)
    try:
        await table.shape()
        for newest in (False, True):
            rows = await table.select(Select(("pending",), "created_at", newest=newest, limit=1000))
            got = Counter(row["task_id"] % len(VALUES) for row in rows)
            assert got == {n: 2 for n, found in enumerate(VALUES) if readable(found)}
            times = [read_time(row["created_at"]) for row in rows]
            assert [round(when.timestamp(), 2) for when in times] == [
                round(when.timestamp(), 2) for when in sorted(times, reverse=newest)
            ]
            if not newest:
                first = await table.select(Select(("pending",), "created_at", limit=7))
                assert [read_time(row["created_at"]) for row in first] == times[:7]
        strange = await table.select(Select(("pending",), None, absent=("created_at",), strange=True, limit=1000))
        got = Counter(row["task_id"] % len(VALUES) for row in strange)
        assert got == {n: 2 for n, found in enumerate(VALUES) if not readable(found)}
    finally:
        await table.close()


@pytest.mark.parametrize("there", ["mongo", "mongo-indexed"], indirect=True)
async def test_the_guard_holds_for_the_type_and_for_lists(there: There) -> None:
    for before, after in (("2026-03-02T09:00:00Z", 1772442000), (5, "5"), (5, [5]), (None, "w1")):
        field = "created_at" if isinstance(before, str) else "attempts" if before else "worker_id"
        given = {"created": ago(400)} | {field: before}
        late = there.add(**({"state": PENDING} | given))
        [ref] = [r for r in await there.late() if r.id == str(late)]
        there.place.set(late, {field: after})
        assert await there.outcomes(expire(ref)) == [Outcome.NOOP], (before, after)
        there.place.set(late, {"status": "completed"})


@pytest.mark.parametrize("there", ["mongo-indexed"], indirect=True)
async def test_a_server_that_hangs_is_an_outage_within_the_deadline(there: There) -> None:
    import signal

    late = there.add(created=ago(400))
    ref = await there.one()
    server = mongo_server.server()
    await there.close()
    table = MongoTable(server.url("application"), there.mapping, timeout=1.0)
    there.foreign.table = there.foreign.reads.table = table
    there.records = SqliteStore(there.folder / "records.db")
    await there.open()
    await there.close()
    server.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        for ask in (table.now(), table.find([ref.id]), table.count(("pending",), None, 5)):
            with pytest.raises(StoreUnavailable):
                await ask
        assert time.monotonic() - began < 8
    finally:
        server.signal(signal.SIGCONT)
        await table.close()
    assert there.state(late) is PENDING


async def test_a_primary_that_steps_down_amid_repairs(tmp_path: Path) -> None:
    """What is cut off is an outage; in the end each job is failed once, and the trail tells of each."""
    server = mongo_server.new_server()

    class Alone(IndexedMongo):
        pass

    Alone.server = staticmethod(lambda: server)
    there = There(Alone(), tmp_path)
    try:
        await there.open()
        tasks = [{"task_id": f"t{n}", "status": "pending", "created_at": there.place.now()} for n in range(600)]
        there.place.tasks.insert_many(tasks)
        results = Counter[Outcome]()

        async def sweep() -> bool:
            """False once nothing is late any more."""
            try:
                late = await there.late(age=0.0, limit=200)
                results.update(await there.outcomes(*map(expire, late)))
            except StoreUnavailable:
                return True
            return bool(late)

        stepping = asyncio.create_task(asyncio.to_thread(server.step_down, 1))
        async with asyncio.timeout(60):
            while await sweep() or not stepping.done():
                pass
        with server.client() as hand:
            assert hand.admin.command("replSetGetStatus")["term"] > 1, "it was elected anew"
        assert there.place.tasks.count_documents({"status": "failed"}) == len(tasks)
        trail = await there.records.audit(limit=5000)
        applied = Counter(entry.subject for entry in trail if entry.outcome is Outcome.APPLIED)
        assert set(applied.values()) <= {1}, "none was failed twice"
        assert len(applied) + results[Outcome.FAILED] >= len(tasks), "what may have been done is told, too"
    finally:
        await there.close()
        server.remove()


async def test_a_time_beyond_the_calendar_hides_no_other_document() -> None:
    from bson.datetime_ms import DatetimeMS

    place = IndexedMongo()
    place.add({"status": "pending", "created_at": DatetimeMS(10**16)})
    late = place.add({"status": "pending", "created_at": ago(400)})
    table = place.table(TASKS)
    try:
        assert len(await table.find(["task-1", "task-2"])) == 2
        assert await table.count(("pending",), None, 10) == 2
        assert late == "task-2"
    finally:
        await table.close()
