"""What a cycle's report amounts to: an exit code and a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from builders import finding, queue_stats, report, snapshot

from gradewatch.cli.report import echo_report, exit_code, headline
from gradewatch.model import Code, CycleReport, Finding, Severity, Unknown

UNREAD = Unknown("the probe took too long", 1.0)
CRITICAL = finding(Code.WORKER_NOT_RUNNING)
INFO = finding(Code.QUEUE_PAUSED, severity=Severity.INFO)


def of(findings: Sequence[Finding] = (), **readings: Unknown) -> CycleReport:
    return report(snapshot(**readings), findings=findings)


@pytest.mark.parametrize(
    ("given", "code", "sentence"),
    [
        (of(), 0, "Healthy: 1 worker alive, 3 jobs wait, 2 running."),
        (of([INFO]), 0, "Healthy: 1 worker alive, 3 jobs wait, 2 running."),
        (of([CRITICAL, INFO]), 1, "3 jobs wait and no worker is running for default."),
        (of([finding(Code.CLOCK_SKEW, "sqlite", severity=Severity.WARNING)]), 1, "3 jobs wait and no live worker"),
        (of(workers=UNREAD), 2, "Cannot tell whether all is well: workers could not be read."),
        (of([CRITICAL], workers=UNREAD), 1, "3 jobs wait and no worker is running for default."),
        (of(store=UNREAD), 2, "Cannot tell how the queues are: the store could not be read."),
        (of([CRITICAL], store=UNREAD), 2, "Cannot tell how the queues are"),
        (report(snapshot([UNREAD])), 2, "Cannot tell whether all is well: queue default could not be read."),
        (
            report(snapshot([UNREAD]), findings=[finding(Code.STORE_UNREACHABLE, "store")]),
            1,
            "Cannot tell how many jobs wait, and no live worker",
        ),
        (
            report(snapshot([queue_stats("essays"), UNREAD]), findings=[CRITICAL]),
            1,
            "At least 3 jobs wait and no worker is running for default.",
        ),
        (
            report(snapshot([queue_stats(pending=0)]), findings=[finding(Code.WORKER_WEDGED, "w1")]),
            1,
            "No job waits, but w1 is alive and claims nothing.",
        ),
    ],
)
def test_exit_code_and_sentence(given: CycleReport, code: int, sentence: str) -> None:
    assert exit_code(given) == code
    assert headline(given).startswith(sentence)


def test_what_could_not_be_read_is_said_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    echo_report(of(control=UNREAD))
    assert "unknown  control could not be read: the probe took too long" in capsys.readouterr().out
