"""How old a container may be: an age that is too small would prove a death that never was."""

from __future__ import annotations

from typing import Any

from gradewatch.platforms.kubernetes.roster import UNDER_WAY, PodLife, Roster

CREATED = "2026-03-02T09:00:00Z"
AT = 1_772_442_000.0  # the same, in seconds


class World:
    def __init__(self, age: float | None) -> None:
        self.mono, self.age = 1000.0, age
        self.roster = Roster("", wake=lambda: None, wall=self.wall, mono=lambda: self.mono)

    def wall(self) -> float | None:
        return None if self.age is None else AT + self.age

    def go(self, seconds: float) -> None:
        self.mono += seconds
        self.age = None if self.age is None else self.age + seconds

    @property
    def pod(self) -> PodLife:
        [only] = list(self.roster)
        return only

    def oldest(self) -> float:
        return self.mono - self.pod.since + self.pod.may_be_older


def pod(container: str = "c1", restarts: int = 0) -> dict[str, Any]:
    told = {
        "name": "w",
        "containerID": container,
        "restartCount": restarts,
        "state": {"running": {"startedAt": CREATED}},
    }
    return {
        "metadata": {"uid": "u", "name": "p", "creationTimestamp": CREATED},
        "spec": {"containers": [{"name": "w"}]},
        "status": {"phase": "Running", "containerStatuses": [told]},
    }


def test_one_that_was_there_before_us_is_as_old_as_its_pod() -> None:
    world = World(age=500.0)
    world.roster.replace([world.roster.reduce(pod())])
    assert world.mono - world.pod.since == 0.0, "for a restart it counts from when it was seen"
    assert world.oldest() == 500.0
    world.go(10)
    assert world.oldest() == 510.0


def test_one_that_was_seen_to_begin_is_as_old_as_an_event_may_be_late() -> None:
    world = World(age=500.0)
    world.roster.replace([world.roster.reduce(pod())])
    world.go(100)
    world.roster.put(pod("c2", 1))
    world.go(5)
    assert world.oldest() == 5.0 + UNDER_WAY


def test_one_that_began_while_nobody_looked_may_be_as_old_as_its_pod() -> None:
    world = World(age=500.0)
    world.roster.replace([world.roster.reduce(pod())])
    world.go(600)
    world.roster.replace([world.roster.reduce(pod("c2", 1))])
    world.go(5)
    assert world.oldest() == 1105.0


def test_without_a_clock_nothing_is_known_of_its_age() -> None:
    world = World(age=None)
    world.roster.replace([world.roster.reduce(pod())])
    assert world.oldest() == float("inf")
