"""What a platform that is looked at now and then remembers: each end once, whatever was missed between two looks."""

from __future__ import annotations

from dataclasses import replace

from gradewatch.model import Exit, ExitCause, ExitKind, Sight
from gradewatch.platforms.ledger import HISTORY, Ledger, Sighting

CRASH = ExitCause(ExitKind.EXITED, 1)
UP = Sighting("w1", "life-1", "life-1", running=True, running_seconds=50.0)


def down(life: str = "life-1") -> Sighting:
    return replace(UP, life=life, running=False, ended=Exit(2.0, 48.0, CRASH))


class Looked:
    def __init__(self) -> None:
        self.now = 100.0
        self.ledger = Ledger(("default",), mono=lambda: self.now)

    def see(self, sighting: Sighting, after: float = 5.0, sight: Sight = Sight.LIFE):
        self.now += after
        return self.ledger.target(sighting, sight)


def test_an_end_that_was_seen_is_written_down_once_and_ages() -> None:
    looked = Looked()
    looked.see(UP)
    first = looked.see(down())
    again = looked.see(down(), after=10.0)
    assert [(e.seconds_ago, e.lifetime, e.cause) for e in first.exits] == [(2.0, 48.0, CRASH)]
    assert [(e.seconds_ago, e.lifetime) for e in again.exits] == [(12.0, 48.0)]
    assert again.ended_incarnations == ("life-1",)


def test_what_is_known_later_of_an_end_takes_the_place_of_what_was() -> None:
    looked = Looked()
    looked.see(down())
    given_up = replace(down(), ended=Exit(9.0, 48.0, ExitCause(ExitKind.CRASH_LOOP)))
    [end] = looked.see(given_up).exits
    assert (end.cause.kind, end.lifetime, end.seconds_ago) == (ExitKind.CRASH_LOOP, 48.0, 7.0)


def test_an_end_that_was_missed_is_known_by_the_next_life() -> None:
    looked = Looked()
    looked.see(UP)
    target = looked.see(replace(UP, life="life-2", incarnation="life-2", running_seconds=1.0))
    assert target.ended_incarnations == ("life-1",)
    assert [(e.seconds_ago, e.lifetime) for e in target.exits] == [(2.5, 50.0)]


def test_an_end_that_was_seen_is_not_missed_as_well() -> None:
    looked = Looked()
    looked.see(down())
    assert len(looked.see(replace(UP, life="life-2")).exits) == 1


def test_restarts_that_the_platform_counted_and_nobody_saw() -> None:
    looked = Looked()
    looked.see(replace(UP, restarts=3))
    assert len(looked.see(replace(UP, life="life-9", restarts=7)).exits) == 4
    assert len(looked.see(replace(UP, life="life-9", restarts=7)).exits) == 4
    assert len(looked.see(replace(UP, life="life-9", restarts=0)).exits) == 4, "its count began anew"


def test_no_end_is_proved_where_sessions_do_not_carry_the_life() -> None:
    looked = Looked()
    target = looked.see(down(), sight=Sight.PROCESS)
    assert (len(target.exits), target.ended_incarnations) == (1, ())


def test_memory_is_bounded() -> None:
    looked = Looked()
    for n in range(100):
        target = looked.see(down(f"life-{n}"))
    assert (len(target.exits), len(target.ended_incarnations)) == (HISTORY, HISTORY)
    assert target.ended_incarnations[-1] == "life-99"
    huge = looked.see(replace(UP, life="x", restarts=0)), looked.see(replace(UP, life="x", restarts=10**9))
    assert len(huge[1].exits) == HISTORY
