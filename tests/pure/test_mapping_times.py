"""Times as other applications write them: read right, and written back in the form they were found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradewatch.stores.mapping.times import Unreadable, read_time, time_like

INDIA = timezone(timedelta(hours=5, minutes=30))
FORMS = {
    "aware": (lambda t: t.astimezone(INDIA), 1e-6),
    "naive": (lambda t: t.replace(tzinfo=None), 1e-6),
    "Z": (lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z", 1e-6),
    "z": (lambda t: t.strftime("%Y-%m-%dT%H:%M:%S") + "z", 1),
    "javascript": (lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z", 1e-3),
    "no zone": (lambda t: t.replace(tzinfo=None).isoformat(), 1e-6),
    "blank": (lambda t: t.strftime("%Y-%m-%d %H:%M:%S"), 1),
    "postgres": (lambda t: t.strftime("%Y-%m-%d %H:%M:%S.%f") + "+00", 1e-6),
    "offset": (lambda t: t.astimezone(INDIA).isoformat(), 1e-6),
    "offset, no colon": (lambda t: t.astimezone(INDIA).strftime("%Y-%m-%dT%H:%M:%S%z"), 1),
    "named": (lambda t: t.strftime("%Y-%m-%d %H:%M:%S UTC"), 1),
    "minutes": (lambda t: t.strftime("%Y-%m-%dT%H:%MZ"), 60),
    "comma": (lambda t: t.strftime("%Y-%m-%dT%H:%M:%S,%f") + "+00:00", 1e-6),
    "nanoseconds": (lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z", 1e-6),
    "one digit": (lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-5] + "Z", 0.1),
    "padded": (lambda t: f"  {t:%Y-%m-%dT%H:%M:%S}Z ", 1),
    "seconds": (lambda t: t.timestamp(), 1e-5),
    "whole seconds": (lambda t: int(t.timestamp()), 1),
    "millis": (lambda t: int(t.timestamp() * 1000), 2e-3),
}
# Milliseconds since 1970 are told from seconds by their size: those of the years until 1973 are too small for it.
moments = st.datetimes(datetime(1974, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read_and_written_back(form: str) -> None:
    write, precision = FORMS[form]

    @given(moments, moments)
    def holds(sample: datetime, when: datetime) -> None:
        stored = write(sample)
        assert abs((read_time(stored) - sample).total_seconds()) <= precision
        made = time_like(stored, when)
        assert type(made) is type(stored)
        assert abs((read_time(made) - when).total_seconds()) <= max(precision, 1.0)
        if isinstance(stored, str):
            assert made[10] == stored.strip()[10]
            assert made[-1].isalpha() == stored.strip()[-1].isalpha()
            assert ("." in made) == ("." in stored or "," in stored)

    holds()


def test_what_is_written_is_in_utc_whatever_zone_the_sample_has() -> None:
    when = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert time_like("2026-03-01T12:00:00+05:30", when) == "2026-03-02T09:00:00+00:00"
    assert time_like(datetime(2026, 3, 1, tzinfo=INDIA), when) == when
    assert time_like(datetime(2026, 3, 1), when) == datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001 - as its driver reads it
    assert time_like(None, when) == when
    assert time_like("yesterday", when) == "2026-03-02T09:00:00.000+00:00"
    assert time_like(True, when) == when


@pytest.mark.parametrize(
    "value",
    ["", " ", "yesterday", "2026", "2026-03-02", "2026-13-01T00:00Z", "2026-02-30T00:00Z", "2026-03-02T25:00Z",
     "2026-03-02T09:00:00+99:00", "2026-03-02T09:00:00Z; DROP", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
     0, -1, 1e300, -1e300, float("nan"), float("inf"), 10**400, True, False, [], {}, {"$date": 1}, b"2026",
    pytest.param(object(), id="object"),
     datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), datetime(1970, 1, 1, tzinfo=UTC)],
    ids=repr,
)  # fmt: skip
def test_what_is_no_time_is_refused_and_what_it_holds_is_not_told(value: Any) -> None:
    with pytest.raises(Unreadable) as told:
        read_time(value)
    assert "DROP" not in str(told.value)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.datetimes(), st.binary(), st.none(), st.booleans()))
def test_no_value_raises_anything_else(value: Any) -> None:
    try:
        when = read_time(value)
    except Unreadable:
        return
    assert when is None or (when.tzinfo is UTC and when.year >= 1971)
    assert (when is None) == (value is None)
