"""A worker in a pod: which life of the pod it is, told to Kubernetes by the termination log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradewatch.platforms.identity import INCARNATION, TARGET, TERMINATION_LOG, Identity
from gradewatch.platforms.kubernetes.facts import read_pod

UID = "6c2f9f1e-8a0b-4c57-9d0a-0f6f3a0c9e11"


def environ(file: Path, incarnation: str = UID) -> dict[str, str]:
    return {TARGET: "worker-7d9f-abcde", INCARNATION: incarnation, TERMINATION_LOG: str(file)}


def test_each_life_of_a_pod_has_a_name_of_its_own_and_tells_it(tmp_path: Path) -> None:
    lives = []
    for number in range(2):
        file = tmp_path / f"termination-log-{number}"
        file.touch()
        mine = Identity.take(given := environ(file))
        assert given == {}, "its children must not take it for theirs"
        assert mine.target == "worker-7d9f-abcde"
        assert re.fullmatch(rf"{UID}/[0-9a-f]{{12}}", mine.incarnation)
        ended = {"terminated": {"exitCode": 137, "message": file.read_text()}}
        status = {"containerStatuses": [{"name": "worker", "lastState": ended}]}
        pod = {"metadata": {"uid": UID}, "spec": {"containers": [{"name": "worker"}]}, "status": status}
        assert [e.life for e in read_pod(pod).ended] == [mine.incarnation]
        lives.append(mine.incarnation)
    assert len(set(lives)) == 2


def test_without_a_termination_log_it_is_the_pod_and_makes_no_file(tmp_path: Path) -> None:
    assert Identity.take(environ(tmp_path / "none")).incarnation == UID
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("incarnation", ["worker-1.0f3a9c112233", "", UID.upper(), f"{UID}/0123456789ab"])
def test_what_is_no_bare_uid_of_a_pod_is_taken_as_it_is(tmp_path: Path, incarnation: str) -> None:
    """A child that a supervisor started inside of a pod: the log is not its own."""
    file = tmp_path / "termination-log"
    file.touch()
    assert Identity.take(environ(file, incarnation)).incarnation == incarnation
    assert file.read_text() == ""
