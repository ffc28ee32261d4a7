"""Another application's collection: is it there, may we do what must be done, and which indexes has it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import OperationFailure

from gradewatch.errors import AccessDenied, SchemaMismatch
from gradewatch.stores.mongo.either import settle
from gradewatch.stores.mongo.faults import UNAUTHORIZED

NEEDED = ("find", "update")


async def exists(database: Any, name: str, place: str) -> None:
    """Raises SchemaMismatch where there is no such collection, or only a view of that name."""
    only = {"filter": {"name": name}, "nameOnly": True, "authorizedCollections": True}
    found = (await settle(database.command("listCollections", **only)))["cursor"]["firstBatch"]
    if not found:
        raise SchemaMismatch(
            f"{place} is not there. Correct the table in the queue's settings, the database in store.url, or DB_NAME; "
            "a backend that has never written a job has not made it yet."
        )
    if found[0].get("type") == "view":
        raise SchemaMismatch(f"{place} is a view, in which no job can be repaired: name its collection.")


async def allows(database: Any, name: str, place: str) -> None:
    """Raises AccessDenied: told before the first repair is due, not by it. Without logins all is allowed."""
    login = (await settle(database.command("connectionStatus", showPrivileges=True)))["authInfo"]
    if not login["authenticatedUsers"]:
        return
    granted = {
        action
        for privilege in login.get("authenticatedUserPrivileges", ())
        if _covers(privilege["resource"], database.name, name)
        for action in privilege["actions"]
    }
    if lacks := [action for action in NEEDED if action not in granted and "anyAction" not in granted]:
        raise AccessDenied(
            f"{place}: this user lacks {' and '.join(lacks)}. Grant it the role readWrite on the database, or one with "
            "those two actions on the collection."
        )


def _covers(resource: Mapping[str, Any], database: str, name: str) -> bool:
    if resource.get("anyResource"):
        return True
    return all(resource.get(key) in ("", wanted) for key, wanted in (("db", database), ("collection", name)))


async def indexed(rows: Any) -> frozenset[tuple[str, ...]] | None:
    """The fields of each whole index; None where this user may not see them."""
    try:
        found = await settle(rows.index_information())
    except OperationFailure as error:
        if error.code != UNAUTHORIZED:
            raise
        return None
    return frozenset(
        tuple(name for name, _ in index["key"]) for index in found.values() if "partialFilterExpression" not in index
    )
