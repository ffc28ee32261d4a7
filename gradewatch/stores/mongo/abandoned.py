"""Transactions whose process died in the middle of them.

MongoDB keeps what such a transaction changed locked until it is older than transactionLifetimeLimitSeconds (60 s by
default, looked at every 30). To end one that has been idle for longer than any call of ours may take loses nothing:
it has committed nothing, and a process that was only halted finds its transaction gone and does it anew.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from pymongo.errors import OperationFailure

from gradewatch.stores.mongo.either import listed, settle

log = structlog.get_logger(__name__)

APP = "gradewatch"  # the name our clients connect by: the transactions of others are none of our business


class Abandoned:
    """Ends them where a write met one. It looks at most once in `idle` seconds, for which one must have been idle."""

    def __init__(self, idle: float) -> None:
        self._idle = idle
        self._next = 0.0
        self._said = False

    async def end(self, client: Any) -> int:
        """How many were ended. 0, too, where this user may not do that, which is said once: the server does it later.
        Raises PyMongoError where the server does not answer."""
        now = asyncio.get_running_loop().time()
        if now < self._next:
            return 0
        self._next = now + self._idle
        try:
            found = await self._found(client)
            if found:
                await settle(client.admin.command("killSessions", [{"id": one["lsid"]["id"]} for one in found]))
        except OperationFailure as error:
            self._say(error)
            return 0
        for one in found:
            idle = one["transaction"]["timeInactiveMicros"] / 1e6
            log.warning("abandoned transaction ended", client=one.get("client", ""), idle_seconds=round(idle, 1))
        return len(found)

    async def _found(self, client: Any) -> list[Any]:
        """Those of this user alone, for which it needs no further right."""
        idle = {
            "type": "idleSession",
            "appName": APP,
            "transaction.parameters.autocommit": False,
            "transaction.timeInactiveMicros": {"$gt": round(self._idle * 1e6)},
        }
        stages = [{"$currentOp": {"allUsers": False, "idleSessions": True}}, {"$match": idle}]
        return await listed(client.admin.aggregate(stages))

    def _say(self, error: OperationFailure) -> None:
        if not self._said:
            log.info(
                "abandoned transactions cannot be ended",
                error=str((error.details or {}).get("errmsg", error.code)),
                means="what a killed process was changing stays locked until the server ends its transaction",
            )
        self._said = True
