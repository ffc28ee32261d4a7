"""The one place where PostgreSQL's errors become the project's own, each with what happened and what to do."""

from __future__ import annotations

import psycopg

from gradewatch.errors import AccessDenied, Conflict, SchemaMismatch, StoreError, StoreUnavailable
from gradewatch.stores.postgres.address import Address

MIGRATE = 'run "gradewatch migrate"'
_LACKS = f"it lacks what this version needs ({{error}}): {MIGRATE}."

# By SQLSTATE. {error} is the server's own sentence.
_BY_STATE: dict[str, tuple[type[StoreError], str]] = {
    "53100": (StoreUnavailable, "its disk is full, nothing was written. Free some space."),
    "53200": (StoreUnavailable, "it is out of memory, nothing was written. Try again, or give it more."),
    "53300": (StoreUnavailable, "it takes no more connections. Raise max_connections, or connect through a pooler."),
    "55P03": (
        StoreUnavailable,
        "a lock that somebody else holds was waited for in vain, nothing was written. If it lasts, find who holds it: "
        "SELECT * FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'.",
    ),
    "57014": (StoreUnavailable, "the statement took too long and was broken off, nothing was written. Try again."),
    "57P01": (StoreUnavailable, "it is being shut down or restarted. Gradewatch goes on by itself once it is back."),
    "57P02": (StoreUnavailable, "it crashed and is recovering. Gradewatch goes on by itself once it is back."),
    "57P03": (StoreUnavailable, "it is starting up or recovering. Gradewatch goes on by itself once it is back."),
    "25006": (
        StoreUnavailable,
        "it is read-only: a standby, or locked by its provider. Point store.url to the primary, or free the disk.",
    ),
    "40001": (StoreUnavailable, "another transaction came between, nothing was written. Try again."),
    "40P01": (StoreUnavailable, "two transactions waited for one another and this one gave way. Try again."),
    "XX001": (StoreUnavailable, "it found damaged data ({error}). Restore it from a backup."),
    "XX002": (StoreUnavailable, "it found a damaged index ({error}). Rebuild it with REINDEX, and check the disk."),
    "28P01": (AccessDenied, "it refused the user or the password. Correct store.url."),
    "28000": (AccessDenied, "it does not let this user in ({error}). Check store.url and the server's pg_hba.conf."),
    "42501": (AccessDenied, "this role may not do that ({error}). docs/postgres.md says what it must be granted."),
    "3D000": (SchemaMismatch, f"there is no such database: create it, then {MIGRATE}; or correct store.url."),
    "3F000": (SchemaMismatch, f"it has no gradewatch tables: {MIGRATE} to create them."),
    "42883": (SchemaMismatch, _LACKS),
    "42P01": (SchemaMismatch, _LACKS),
    "42703": (SchemaMismatch, _LACKS),
}
# While connecting, libpq passes on the server's words but not its SQLSTATE.
_BY_WORDS = (
    ("too many c", "53300"),  # "too many clients already", "too many connections for role …"
    ("remaining connection slots", "53300"),
    ("password authentication failed", "28P01"),
    ("no password supplied", "28P01"),
    ('role "', "28P01"),
    ("no pg_hba.conf entry", "28000"),
    ("permission denied for database", "28000"),
    ("is not permitted to log in", "28000"),
    ('database "', "3D000"),
    ("starting up", "57P03"),
    ("shutting down", "57P01"),
    ("in recovery mode", "57P02"),
)


def timed_out(address: Address, seconds: float) -> StoreUnavailable:
    return StoreUnavailable(
        f"{address.shown} did not answer within {seconds:.1f} s. What was under way may or may not have been done. "
        "Check the server and the network."
    )


def busy(address: Address, seconds: float, size: int) -> StoreUnavailable:
    return StoreUnavailable(
        f"{address.shown}: all {size} connections of this process stayed in use for {seconds:.1f} s, nothing was "
        "written. If it lasts, the server is too slow for what is asked of it."
    )


def translate(error: psycopg.Error, address: Address) -> StoreError:
    """What an error of the driver means for a caller. The text never holds the password."""
    said = address.redacted(error.diag.message_primary or str(error)).rstrip(". ")
    state = error.sqlstate or next((state for words, state in _BY_WORDS if words in said), "")
    if state in _BY_STATE:
        kind, text = _BY_STATE[state]
        return kind(f"{address.shown}: {text.format(error=said)}")
    if state.startswith("23"):
        return Conflict(f"{address.shown} refused the write: {said}. The row is untouched.")
    if not state or state.startswith("08"):
        return StoreUnavailable(f"{address.shown} cannot be reached, or the connection broke: {said}.")
    return StoreUnavailable(f"{address.shown} gave up unexpectedly ({state}: {said}). Try again.")
