"""Conditions on a column that holds times, whatever its type: exact for timestamps and numbers, rough for text, which
may be of any zone and is read again by whoever asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg import sql

from gradewatch.stores.mapping.times import EARLIEST, MILLISECONDS
from gradewatch.stores.postgres.columns import TIMES

NUMBERS = frozenset({"integer", "bigint", "numeric", "real", "double precision"})
_ISO = r"^\s*\d{4}-\d\d-\d\d[T ]\d\d:\d\d"
_WIDEST = timedelta(hours=15)  # offsets from UTC reach 14 hours


def exact(kind: str) -> bool:
    return kind in TIMES | NUMBERS


def is_time(column: sql.Composable, kind: str) -> sql.Composable:
    """Does the column hold what `mapping.times` would read as a time?"""
    if kind in TIMES:
        return sql.SQL("{} >= {}").format(column, _stamp(EARLIEST, kind))
    if kind in NUMBERS:
        return sql.SQL("{} >= {}").format(column, sql.Literal(EARLIEST.timestamp()))
    return sql.SQL("{}::text ~ {}").format(column, sql.Literal(_ISO))


def is_null(column: sql.Composable, kind: str) -> sql.Composable:
    return sql.SQL("{} IS NULL").format(column)


def is_strange(column: sql.Composable, kind: str) -> sql.Composable:
    """Is there nothing, or what is no time?"""
    return sql.SQL("({}) IS NOT TRUE").format(is_time(column, kind))


def compared(column: sql.Composable, kind: str, sign: str, when: datetime) -> sql.Composable:
    """Is it before (`<`) or after (`>`) a time? For text it errs on the side of taking a row."""
    if kind in TIMES:
        bound: sql.Composable = _stamp(when, kind)
    elif kind in NUMBERS:
        column = sql.SQL("(CASE WHEN {0} > {1} THEN {0} / 1000.0 ELSE {0} END)").format(
            column, sql.Literal(MILLISECONDS)
        )
        bound = sql.Literal(when.timestamp())
    else:
        # Whole days, the end of the one or the beginning of the other.
        day = when + _WIDEST + timedelta(days=1) if sign == "<" else when - _WIDEST
        bound = sql.Literal(f"{day.astimezone(UTC):%Y-%m-%d}")
        column = sql.SQL("{}::text").format(column)
    return sql.SQL("{} {} {}").format(column, sql.SQL(sign), bound)


def _stamp(when: datetime, kind: str) -> sql.Composable:
    cast = "{}::timestamptz" if "with time" in kind else "({}::timestamptz AT TIME ZONE 'UTC')"
    return sql.SQL(cast).format(sql.Literal(when.astimezone(UTC).isoformat()))
