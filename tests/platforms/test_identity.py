"""Which place and which life a worker says it is, by what its platform put into its environment."""

from __future__ import annotations

import pytest

from gradewatch.platforms.identity import Identity

SUPERVISORD = {"SUPERVISOR_ENABLED": "1", "SUPERVISOR_PROCESS_NAME": "grader", "SUPERVISOR_GROUP_NAME": "grader"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Identity()),
        ({"GRADEWATCH_TARGET": "w1", "GRADEWATCH_INCARNATION": "w1.7"}, Identity("w1", "w1.7")),
        ({"GRADEWATCH_TARGET": "grader.service", "INVOCATION_ID": "ab"}, Identity("grader.service", "ab")),
        ({"GRADEWATCH_TARGET": "w1", "GRADEWATCH_INCARNATION": "x", "INVOCATION_ID": "ab"}, Identity("w1", "x")),
        ({"INVOCATION_ID": "of the terminal it was started from"}, Identity()),
        (SUPERVISORD, Identity("grader")),
        (SUPERVISORD | {"SUPERVISOR_GROUP_NAME": "graders"}, Identity("graders:grader")),
        (SUPERVISORD | {"GRADEWATCH_TARGET": "w1", "INVOCATION_ID": "supervisord's own"}, Identity("w1")),
        ({"RENDER_SERVICE_ID": "srv-1"}, Identity("srv-1")),
        ({"RENDER_SERVICE_ID": "srv-1", "GRADEWATCH_TARGET": "w1"}, Identity("w1")),
    ],
)
def test_a_worker_knows_its_place(environ: dict[str, str], expected: Identity) -> None:
    assert Identity.take(dict(environ)) == expected


def test_what_is_the_workers_own_is_not_handed_on() -> None:
    environ = {"GRADEWATCH_TARGET": "w1", "GRADEWATCH_INCARNATION": "x", "PATH": "/bin"}
    Identity.take(environ)
    assert environ == {"PATH": "/bin"}
