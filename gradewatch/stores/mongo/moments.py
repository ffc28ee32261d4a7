"""Times of any type in one field, as the server reads them: the same values count as times here as in
`mapping.times`, so that nothing which cannot be read stands before what can.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from gradewatch.stores.mapping.times import EARLIEST, MILLISECONDS

Expression = Any
Stage = dict[str, Any]

_LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_DAY, _CLOCK = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d"
_ISO = rf"^{_DAY}[T ]{_CLOCK}(:\d\d([.,]\d{{1,9}})?)?\s?(Z|z|UTC|[+-]\d\d(:?\d\d)?)?$"
_DAYS = r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|[12]\d))"
_CALENDAR = (
    rf"^\s*(?:197[1-9]|19[89]\d|[2-9]\d\d\d)-{_DAYS}[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d{{1,9}})?)?"
    r"\s?(?:Z|z|UTC|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?\s*$"
)
# Text of this form stands in the order of time, to the second.
_USUAL = rf"^{_DAY}T{_CLOCK}:\d\d(\.\d+)?(Z|[+-]00(:?00)?)?$"
_BRACKET = "t"  # what a bracket's rows are sorted by at the end


def time_of(field: str) -> Expression:
    """The field as a date, or null where it holds none."""
    found = "$" + field
    text = {"$trim": {"input": found}}
    parsed = {
        "$dateFromString": {
            "dateString": {"$replaceOne": {"input": text, "find": ",", "replacement": "."}},
            "onError": None,
            "onNull": None,
        }
    }
    return {
        "$let": {
            "vars": {
                "read": {
                    "$switch": {
                        "branches": [
                            {"case": _is(found, "date"), "then": found},
                            {
                                "case": _is(found, "string"),
                                "then": {"$cond": [{"$regexMatch": {"input": text, "regex": _ISO}}, parsed, None]},
                            },
                            {"case": _is(found, "int", "long", "double"), "then": _counted(found)},
                        ],
                        "default": None,
                    }
                }
            },
            "in": {
                "$cond": [{"$and": [{"$gte": ["$$read", EARLIEST]}, {"$lte": ["$$read", _LATEST]}]}, "$$read", None]
            },
        }
    }


def _is(found: str, *types: str) -> Expression:
    return {"$in": [{"$type": found}, list(types)]}


def _counted(found: str) -> Expression:
    """Seconds since 1970, or milliseconds where there are too many of them. Not a number: nothing."""
    millis = {"$cond": [{"$gt": [found, MILLISECONDS]}, found, {"$multiply": [found, 1000]}]}
    whole = {"$convert": {"input": millis, "to": "long", "onError": None, "onNull": None}}
    return {"$convert": {"input": whole, "to": "date", "onError": None, "onNull": None}}


def is_strange(field: str) -> Stage:
    """Rows whose field holds nothing, or what is no time. Said without an expression, which would have the server read
    each document: that it has an index on the field is enough. A 29th of February that its year has not gets by."""
    single = {"$not": {"$type": "array"}}
    number = {"$gte": EARLIEST.timestamp(), "$lte": _LATEST.timestamp() * 1000}
    date = {"$type": "date", "$gte": EARLIEST, "$lte": _LATEST}
    return {"$nor": [{field: {**one, **single}} for one in (date, number, {"$regex": _CALENDAR})]}


def within(field: str, before: datetime | None, after: datetime | None) -> Stage:
    """Rows whose field holds a time between the two, exactly."""
    bounds: list[Expression] = [{"$ne": ["$$at", None]}]
    bounds += [{"$lt": ["$$at", before]}] if before is not None else []
    bounds += [{"$gt": ["$$at", after]}] if after is not None else []
    return {"$expr": {"$let": {"vars": {"at": time_of(field)}, "in": {"$and": bounds}}}}


def in_order(field: str, *, newest: bool, limit: int) -> list[Stage]:
    """Stages that sort by the time in a field, whatever type it has, and keep the first of them."""
    sort = {"$sort": {_BRACKET: -1 if newest else 1}}
    return [{"$addFields": {_BRACKET: time_of(field)}}, sort, {"$limit": limit}, {"$unset": _BRACKET}]


def brackets(field: str, before: datetime | None, after: datetime | None) -> list[Stage]:
    """Conditions that part the values of a field by type, each a range that an index on it serves in the order of time:
    datetimes, seconds, milliseconds, and text of the usual form, which is that of one zone with a `T`."""
    dates = {field: _range(after or EARLIEST, before or _LATEST)}
    numbers = [{field: _range(low, high)} for low, high in _numbers(before, after)]
    return [dates, *numbers, {field: {**_texts(before, after, "T", timedelta(seconds=2)), "$regex": _USUAL}}]


def rare(field: str) -> Stage:
    """Text of any other form: with a blank, another zone, or blanks around it. In no order."""
    return {"$and": [{field: {"$type": "string"}}, {field: {"$not": {"$regex": _USUAL}}}]}


def shown(field: str, before: datetime | None, after: datetime | None) -> list[Stage]:
    """The same for what is listed and counted, where text may stand in its own order: hours off at most."""
    return [*brackets(field, before, after)[:-1], {field: _texts(before, after, "", timedelta(days=2))}]


def _range(low: Any, high: Any) -> Stage:
    return {"$gte": low, "$lte": high}


def _numbers(before: datetime | None, after: datetime | None) -> Sequence[tuple[float, float]]:
    low, high = (after or EARLIEST).timestamp(), (before or _LATEST).timestamp()
    seconds, millis = (low, min(high, MILLISECONDS)), (max(low * 1000, MILLISECONDS), high * 1000)
    return [pair for pair in (seconds, millis) if pair[0] <= pair[1]]


def _texts(before: datetime | None, after: datetime | None, blank: str, slack: timedelta) -> Stage:
    """A range of text that holds every time between the two in that form, and some beside it."""
    low = _text(after - slack, blank) if after is not None else ""
    high = _text(before + slack, blank) if before is not None else "~"
    return {"$gte": low, "$lt": high}


def _text(when: datetime, blank: str) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%d}" + (f"{blank}{when.astimezone(UTC):%H:%M:%S}" if blank else "")
