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
# The two forms in which text of one zone stands in the order of time; whatever else is a time is sorted as one.
_UTC = r":\d\d(\.\d+)?(Z|[+-]00(:?00)?)?$"
FORMS = (("T", rf"^{_DAY}T{_CLOCK}{_UTC}"), (" ", rf"^{_DAY} {_CLOCK}{_UTC}"))
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


def is_absent(field: str) -> Stage:
    """Rows whose field holds no time at all. The part that names a type spares the server most of the reading."""
    return {
        "$nor": [{field: {"$type": "date", "$gte": EARLIEST, "$not": {"$type": "array"}}}],
        "$expr": {"$eq": [time_of(field), None]},
    }


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


def brackets(field: str, before: datetime | None, after: datetime | None, *, newest: bool) -> list[tuple[Stage, bool]]:
    """Conditions that part the values of a field by type and form, each a range that an index on it can serve; and
    whether the rows of each stand in the order of time. Together they hold every row that `within` lets through."""
    numbers = [({field: _range(low, high)}, True) for low, high in _numbers(before, after)]
    dates = ({field: _range(after or EARLIEST, before or _LATEST)}, True)
    if newest:  # what is shown and counted: text in its own order, which differs from that of time by hours at most
        return [dates, *numbers, ({field: _texts(before, after, "", timedelta(days=2))}, True)]
    parts: list[tuple[Stage, bool]] = [dates, *numbers]
    for blank, form in FORMS:
        parts.append(({field: {**_texts(before, after, blank, timedelta(seconds=2)), "$regex": form}}, True))
    other = [{field: {"$not": {"$regex": form}}} for _, form in FORMS]
    return [*parts, ({"$and": [{field: {"$type": "string"}}, *other]}, False)]


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
