"""The one place where MongoDB's errors become the project's own, each with what happened and what to do."""

from __future__ import annotations

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from gradewatch.errors import AccessDenied, Conflict, GradewatchError, PayloadError, SchemaMismatch, StoreUnavailable
from gradewatch.stores.mongo.address import Address

MIGRATE = 'run "gradewatch migrate"'
BAD_VALUE, UNAUTHORIZED, INDEX_NOT_FOUND, NAMESPACE_EXISTS, WRITE_CONFLICT, DUPLICATE = 2, 13, 27, 48, 112, 11000
NO_SUCH_HINT = "hint provided does not correspond"

_STEPPED_DOWN = "it is electing a new primary, or has just done so. Gradewatch goes on by itself."
_ENDING = "it is being shut down or restarted. Gradewatch goes on by itself once it is back."
_RACED = "another write came between, nothing was written. Try again."
_TOO_LARGE = "a document is larger than MongoDB's 16 MB: hand large files over as papers, and keep results small"

# By the server's error code. {error} is the server's own sentence.
_BY_CODE: dict[int, tuple[type[GradewatchError], str]] = {
    UNAUTHORIZED: (
        AccessDenied,
        "this user may not do that ({error}). docs/mongodb.md says which roles and rights it must have.",
    ),
    18: (AccessDenied, "it refused the user or the password. Correct store.url, and its authSource."),
    8000: (AccessDenied, "it refused the user or the password ({error}). Correct store.url."),
    50: (StoreUnavailable, "the operation took too long and was broken off. Try again."),
    64: (
        StoreUnavailable,
        "not enough members confirmed the write in time; it may or may not last. Check the members.",
    ),
    91: (StoreUnavailable, _ENDING),
    WRITE_CONFLICT: (StoreUnavailable, _RACED),
    189: (StoreUnavailable, _STEPPED_DOWN),
    246: (StoreUnavailable, "its collections or indexes are being changed. Try again."),
    251: (StoreUnavailable, _RACED),
    10107: (StoreUnavailable, _STEPPED_DOWN),
    11600: (StoreUnavailable, _ENDING),
    11602: (StoreUnavailable, _STEPPED_DOWN),
    13435: (StoreUnavailable, _STEPPED_DOWN),
    13436: (StoreUnavailable, "it is starting up or recovering. Gradewatch goes on by itself once it is back."),
    14031: (StoreUnavailable, "its disk is full, nothing was written. Free some space."),
    10334: (PayloadError, _TOO_LARGE),
    17419: (PayloadError, _TOO_LARGE),
    17420: (PayloadError, _TOO_LARGE),
    DUPLICATE: (Conflict, "it refused a second document under one key. The first is untouched."),
    26: (SchemaMismatch, f"it lacks a collection that this version needs: {MIGRATE}."),
}


def timed_out(address: Address, seconds: float) -> StoreUnavailable:
    return StoreUnavailable(
        f"{address.shown} did not answer within {seconds:.1f} s. What was under way may or may not have been done. "
        "Check the server and the network."
    )


def code_of(error: BaseException) -> int:
    """The server's error code; of a bulk write, that of its first fault. 0: none."""
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        faults = [*details.get("writeErrors", ()), *details.get("writeConcernErrors", ())]
        return int(faults[0].get("code", 0)) if faults else 0
    return int(error.code or 0) if isinstance(error, OperationFailure) else 0


def translate(error: PyMongoError | BSONError, address: Address, seconds: float) -> GradewatchError:
    """What an error of the driver means for a caller. The text never holds the password."""
    code = code_of(error)
    if code in _BY_CODE:
        kind, text = _BY_CODE[code]
        return kind(f"{address.shown}: {text.format(error=_said(error, address))}")
    if isinstance(error, DocumentTooLarge):
        return PayloadError(f"{address.shown}: {_TOO_LARGE}.")
    if isinstance(error, BSONError):
        return PayloadError(f"{address.shown}: this cannot be kept in a document ({_said(error, address)}).")
    if isinstance(error, ServerSelectionTimeoutError):
        return StoreUnavailable(_unreachable(error, address, seconds))
    if isinstance(error, NetworkTimeout | ExecutionTimeout | WTimeoutError) or getattr(error, "timeout", False):
        return timed_out(address, seconds)
    if isinstance(error, ConnectionFailure):
        return StoreUnavailable(f"{address.shown} cannot be reached, or the connection broke: {_said(error, address)}.")
    return StoreUnavailable(f"{address.shown} gave up unexpectedly ({code}: {_said(error, address)}). Try again.")


def _unreachable(error: PyMongoError, address: Address, seconds: float) -> str:
    if "Primary()" in str(error) or "primary" in str(error).lower():
        return (
            f"{address.shown} has no primary that answers, waited for {seconds:.1f} s. Gradewatch goes on by itself "
            "once one is elected; if none is, see that most of the members run and reach each other."
        )
    return f"{address.shown} cannot be reached, tried for {seconds:.1f} s. Check the server and the network."


def _said(error: BaseException, address: Address) -> str:
    """The server's own sentence: without the reply and the topology that the driver adds to it."""
    details = getattr(error, "details", None)
    words = details.get("errmsg") if isinstance(details, dict) else None
    return address.redacted(str(words or error).partition(", full error")[0])[:300].rstrip(". ")
