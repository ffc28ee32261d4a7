"""A transaction whose process died in the middle of it must not keep its jobs from repair until the server ends it."""

from __future__ import annotations

import time

import mongo_server
import pytest
from mongo_kit import ABANDONED, TIMEOUT, handle, left_open, stays_locked, taken_back, until
from pymongo.errors import PyMongoError
from store_kit import get, running
from structlog.testing import capture_logs

from gradewatch.model import JobState


async def test_it_is_ended_and_the_repair_goes_through() -> None:
    url = mongo_server.emptied(mongo_server.server())
    async with handle(url, timeout=TIMEOUT) as store:
        _, job = await running(store)
        with left_open(url, job) as session, capture_logs() as logs:
            begun = time.monotonic()
            await until(lambda: taken_back(store, job))
            assert ABANDONED <= time.monotonic() - begun < 10 * ABANDONED, "not before, and far from a minute later"
            assert [line["event"] for line in logs] == ["abandoned transaction ended"]
            assert logs[0]["idle_seconds"] >= ABANDONED
            with pytest.raises(PyMongoError) as late:
                session.commit_transaction()
            assert late.value.has_error_label("TransientTransactionError"), "one that was halted does it anew"
        assert (await get(store, job.id)).state is JobState.PENDING


async def test_what_is_not_ours_is_left_alone() -> None:
    url = mongo_server.emptied(mongo_server.server())
    async with handle(url, timeout=TIMEOUT) as store:
        _, job = await running(store)
        with left_open(url, job, appname="another") as session:
            await stays_locked(store, job)
            session.commit_transaction()
        assert await taken_back(store, job), "from what it has committed"


async def test_a_server_that_refuses_to_look() -> None:
    """As MongoDB Atlas does on its small tiers: it is said once, and each repair says what it met."""
    server = mongo_server.new_server(fails=True)
    try:
        with server.client() as hand:
            refusal = {"failCommands": ["aggregate"], "namespace": "admin.$cmd.aggregate", "errorCode": 8000}
            hand.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=refusal)
        async with handle(server.url("contract"), timeout=TIMEOUT) as store:
            _, job = await running(store)
            with left_open(server.url("contract"), job), capture_logs() as logs:
                await stays_locked(store, job)
            assert [line["event"] for line in logs] == ["abandoned transactions cannot be ended"]
            assert await taken_back(store, job)
    finally:
        server.remove()
