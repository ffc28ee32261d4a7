"""MongoDB with authentication: who may do what, and what is said to who may not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mongo_server
import pytest
from mongo_kit import TIMEOUT, handle, left_open, refusal, stays_locked, taken_back, until
from store_kit import Hands, new, running

from gradewatch.errors import AccessDenied
from gradewatch.stores.mongo import MongoStore

PASSWORD = "hunter2"
ROLE = "readWrite"  # as docs/mongodb.md has it


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mongo_server.Server]:
    """A server that asks who is there. Its first user is made through the exception for this machine."""
    keyfile: Path = tmp_path_factory.mktemp("key") / "keyfile"
    keyfile.write_text("gradewatch" * 5)
    keyfile.chmod(0o400)
    made = mongo_server.new_server(keyfile=keyfile)
    with made.client() as hand:
        hand.admin.command("createUser", "root", pwd=PASSWORD, roles=["root"])
    yield made
    made.remove()


@pytest.fixture
def admin(server: mongo_server.Server) -> Iterator[Any]:
    with server.client(username="root", password=PASSWORD) as hand:
        yield hand.admin


def user(server: mongo_server.Server, admin: Any, name: str, *roles: Any) -> str:
    """The URL of a new user with these roles."""
    admin.command("createUser", name, pwd=PASSWORD, roles=list(roles))
    return server.url("app", user=name, password=PASSWORD)


async def test_a_wrong_password_and_no_password(server: mongo_server.Server) -> None:
    error = await refusal(server.url("app", user="root", password="guessed"))
    assert isinstance(error, AccessDenied)
    assert "refused the user or the password" in str(error)
    assert "guessed" not in str(error)
    error = await refusal(server.url("app"))
    assert isinstance(error, AccessDenied)
    assert "docs/mongodb.md" in str(error)


async def test_a_user_without_rights(server: mongo_server.Server, admin: Any) -> None:
    error = await refusal(user(server, admin, "nobody"))
    assert isinstance(error, AccessDenied)
    assert "docs/mongodb.md" in str(error)
    assert PASSWORD not in str(error)


async def test_a_user_who_may_only_read(server: mongo_server.Server, admin: Any) -> None:
    async with handle(server.url("app", user="root", password=PASSWORD)) as store:
        await store.submit([new() for _ in range(3)])
        for _ in range(30):
            await store.submit([new()])
    reader = MongoStore(user(server, admin, "reader", {"role": "read", "db": "app"}))
    await reader.open()
    try:
        assert (await reader.stats("default")).pending == 33, "a probe that may not fold counts all the same"
        assert len(await reader.jobs(limit=100)) == 33
        assert (await reader.check(["default"])).missing_indexes == ()
        with pytest.raises(AccessDenied, match="may not do that"):
            await reader.submit([new()])
        with pytest.raises(AccessDenied):
            await reader.acquire("watch", "me", 5)
    finally:
        await reader.close()


async def test_a_user_who_may_not_create_indexes(server: mongo_server.Server, admin: Any) -> None:
    actions = ["find", "insert", "update", "remove", "createCollection", "listCollections", "listIndexes"]
    rights = [{"resource": {"db": "bare", "collection": ""}, "actions": actions}]
    admin.command("createRole", "noindex", privileges=rights, roles=[])
    store = MongoStore(user(server, admin, "indexless", "noindex").replace("/app", "/bare"))
    with pytest.raises(AccessDenied, match="may not do that"):
        await store.migrate()
    await store.close()


async def test_the_documented_role_is_enough(server: mongo_server.Server, admin: Any) -> None:
    async with handle(server.url("app", user="root", password=PASSWORD)):
        pass
    store = MongoStore(user(server, admin, "worker", {"role": ROLE, "db": "app"}))
    await store.open()
    try:
        hands = await Hands.open(store)
        token = await store.change_token()
        assert isinstance(token, tuple)
        assert token[0] == "heard", "it may listen, too"
        [job_id] = await store.submit([new(priority=9)])
        job = await hands.one()
        assert (job.id, await hands.finish(job)) == (job_id, True)
        assert await store.purge(finished_age=0, audit_age=0, limit=5) >= 0
    finally:
        await store.close()


async def test_the_documented_role_ends_what_its_own_user_has_abandoned(
    server: mongo_server.Server, admin: Any
) -> None:
    """It may not touch another user's: those wait for the server."""
    mine = user(server, admin, "mine", {"role": ROLE, "db": "contract"}).replace("/app", "/contract")
    other = user(server, admin, "other", {"role": ROLE, "db": "contract"}).replace("/app", "/contract")
    async with handle(mine, timeout=TIMEOUT) as store:
        _, job = await running(store)
        with left_open(other, job):
            await stays_locked(store, job)
        with left_open(mine, job):
            await until(lambda: taken_back(store, job))
