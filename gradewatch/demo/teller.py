"""Tells what happens as it happens: from the workers' own log lines and the watch's reports."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import click

from gradewatch.model import CycleReport, Outcome

_began = time.monotonic()


def say(text: str, **style: Any) -> None:
    """One line on standard output, with the seconds since the start."""
    click.echo(f"{time.monotonic() - _began:6.1f}s  " + click.style(text, **style))


class Teller:
    """Remembers what the report needs: every finding raised, every repair, every grading of a paper."""

    def __init__(self) -> None:
        self.findings: list[str] = []
        self.gradings: Counter[tuple[str, int]] = Counter()
        self._present: set[tuple[str, str]] = set()

    def line(self, worker: str, text: str) -> None:
        """One log line of a worker."""
        try:
            event = json.loads(text)
        except ValueError:
            say(f"{worker}: {text}", dim=True)
            return
        name = event.get("event") if isinstance(event, dict) else None
        if name == "paper graded":
            self.gradings[event["job"], event["index"]] += 1
            say(f"{worker} graded {event['name']} ({event['status'].replace('_', ' ')})")
        elif name in ("worker started", "processing job", "job finished", "job failed"):
            say(f"{worker}: {name} {event.get('job', '')}".rstrip(), fg="cyan")
        elif event.get("level") in ("warning", "error", "critical"):
            say(f"{worker}: {text}", fg="yellow")

    def report(self, report: CycleReport) -> None:
        """One cycle of the watch."""
        now = {(f.code.value, f.subject): f for f in report.diagnosis.findings}
        for key in now.keys() - self._present:
            say(f"watch finds {key[0]}: {now[key].summary}", fg="yellow")
            if key[0] not in self.findings:
                self.findings.append(key[0])
        self._present = set(now)
        for result in report.results:
            if result.outcome is not Outcome.NOOP:
                say(
                    f"watch: {result.action.kind.value} {result.action.subject}: {result.outcome.value} "
                    f"({result.action.message})",
                    fg="green" if result.outcome is Outcome.APPLIED else "yellow",
                )
