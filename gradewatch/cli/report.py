"""One cycle's report for a person or a program: a sentence first, then causes, workers and queues."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

import click

from gradewatch.cli.failure import CANNOT, NOT_SO, counted
from gradewatch.cli.output import echo_json, echo_table, lasting, plain
from gradewatch.model import Code, CycleReport, Finding, Known, Outcome, QueueStats, Severity, Unknown, Verdict

__all__ = ["CycleReport", "echo_as_json", "echo_finding", "echo_report", "echo_results", "exit_code", "headline"]

_COLOURS = {Severity.CRITICAL: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}
_STORE = (Code.STORE_UNREACHABLE, Code.STORE_ACCESS_DENIED, Code.STORE_SCHEMA_MISMATCH)

# The commonest causes as the second half of "3 jobs wait and …".
_CLAUSES = {
    Code.WORKER_NEVER_SEEN: "no worker has ever been seen on {subject}",
    Code.WORKER_NOT_RUNNING: "no worker is running for {subject}",
    Code.WORKERS_SATURATED: "every slot for {subject} is busy",
    Code.WORKER_WEDGED: "{subject} is alive and claims nothing",
    Code.WORKER_CRASH_LOOP: "{subject} keeps dying soon after its start",
    Code.WORKER_OOM_KILLED: "{subject} was killed for using too much memory",
    Code.QUEUE_PAUSED: "{queue} is paused",
}


def exit_code(report: CycleReport) -> int:
    """0 healthy; 1 a finding that is more than information; 2 cannot tell, because something could not be read."""
    if isinstance(report.snapshot.store, Unknown):
        return CANNOT
    if any(f.severity is not Severity.INFO for f in report.diagnosis.findings):
        return NOT_SO
    return CANNOT if unread(report) else 0


def unread(report: CycleReport) -> dict[str, str]:
    """What could not be read, and why."""
    snapshot = report.snapshot
    readings = {
        "store": snapshot.store,
        "workers": snapshot.workers,
        "platform": snapshot.platform,
        "environment": snapshot.environment,
        "control": snapshot.control,
        **{f"queue {name}": reading for name, reading in snapshot.queues.items()},
    }
    return {name: reading.reason for name, reading in readings.items() if isinstance(reading, Unknown)}


def headline(report: CycleReport) -> str:
    """The one sentence to read at 3 a.m."""
    if isinstance(report.snapshot.store, Unknown):
        found = [f.summary for f in report.diagnosis.findings if f.code in _STORE]
        return f"Cannot tell how the queues are: {_lower(found[0]) if found else 'the store could not be read'}."
    stats = list(_stats(report))
    waiting = sum(s.pending for s in stats)
    load = f"{counted(waiting, 'job')} wait{'s' if waiting == 1 else ''}"
    causes = [f for f in report.diagnosis.findings if f.severity is not Severity.INFO]
    if causes:
        return f"{_waiting(report, waiting, load)} {_clause(causes[0])}."
    if missing := unread(report):
        return f"Cannot tell whether all is well: {', '.join(missing)} could not be read."
    alive = sum(v.verdict is Verdict.ALIVE for v in report.diagnosis.verdicts)
    running = sum(s.running for s in stats)
    if not alive:
        return f"No trouble: {load}, {running} running. But no worker is alive, so the next job will wait."
    return f"Healthy: {counted(alive, 'worker')} alive, {load}, {running} running."


def _waiting(report: CycleReport, waiting: int, load: str) -> str:
    """A queue that could not be read is not an empty one."""
    partly = any(isinstance(reading, Unknown) for reading in report.snapshot.queues.values())
    if waiting:
        return f"At least {load} and" if partly else f"{load} and"
    return "Cannot tell how many jobs wait, and" if partly else "No job waits, but"


def _clause(finding: Finding) -> str:
    if template := _CLAUSES.get(finding.code):
        return template.format(subject=finding.subject, queue=finding.queue)
    return _lower(finding.summary)


def _lower(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _stats(report: CycleReport) -> Iterator[QueueStats]:
    yield from (reading.value.stats for reading in report.snapshot.queues.values() if isinstance(reading, Known))


def echo_report(report: CycleReport) -> None:
    code = exit_code(report)
    click.secho(headline(report), bold=True, fg="green" if code == 0 else "red" if code == NOT_SO else "yellow")
    for finding in report.diagnosis.findings:
        click.echo()
        echo_finding(finding)
    if isinstance(report.snapshot.store, Unknown):
        return  # its finding has said all there is to say
    for name, reason in unread(report).items():
        click.echo(f"\n{click.style('unknown', fg='yellow', bold=True)}  {name} could not be read: {reason}")
    _echo_workers(report)
    _echo_queues(report)


def echo_finding(finding: Finding, *, err: bool = False) -> None:
    """Severity and code, what is the matter, what was read, what to do."""
    severity = click.style(finding.severity.value, fg=_COLOURS[finding.severity], bold=True)
    click.echo(f"{severity}  {click.style(finding.code.value, bold=True)}  {finding.subject}", err=err)
    click.echo(_block("", finding.summary), err=err)
    for number, evidence in enumerate(finding.evidence):
        click.echo(_block("evidence" if number == 0 else "", evidence, labelled=True), err=err)
    click.echo(_block("fix", finding.fix, labelled=True), err=err)
    if finding.command:
        click.echo(_block("command", finding.command, labelled=True), err=err)
    click.echo(_block("runbook", finding.runbook, labelled=True), err=err)


def _block(label: str, text: str, *, labelled: bool = False) -> str:
    start = f"  {label:<9}" if labelled else "  "
    return textwrap.fill(
        text,
        width=100,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _echo_workers(report: CycleReport) -> None:
    rows = [
        (
            v.session.name,
            v.verdict.value,
            ", ".join(v.session.queues),
            f"{v.session.busy}/{v.session.slots}",
            f"{v.session.host}:{v.session.pid}" if v.session.pid else "-",
            v.evidence,
        )
        for v in report.diagnosis.verdicts
    ]
    click.echo()
    if rows:
        echo_table(("worker", "verdict", "queues", "busy", "process", "evidence"), rows)
    elif isinstance(report.snapshot.workers, Known):
        click.echo("No worker has an open session.")


def _echo_queues(report: CycleReport) -> None:
    rows = [_queue_row(stats) for stats in _stats(report)]
    if rows:
        click.echo()
        echo_table(("queue", "pending", "running", "oldest pending", "oldest running", "succeeded", "failed"), rows)


def _queue_row(stats: QueueStats) -> tuple[str, ...]:
    floor = "" if stats.depth_exact else "≥"
    ages = [lasting((stats.now - at).total_seconds()) if at else "-" for at in _oldest(stats)]
    ended = [str(stats.finished_total.get(state, 0)) for state in ("succeeded", "failed")]
    return (stats.queue, f"{floor}{stats.pending}", f"{floor}{stats.running}", *ages, *ended)


def _oldest(stats: QueueStats) -> tuple[Any, Any]:
    return stats.oldest_pending_at, stats.oldest_running_at


def echo_results(report: CycleReport) -> None:
    """What the cycle did: each action with its outcome."""
    click.echo()
    if not report.results:
        held = not report.leader and isinstance(report.snapshot.store, Known)
        click.echo("Another watch holds the lease: this one only looked." if held else "Nothing was repaired.")
        return
    rows = [
        (r.action.kind.value, r.action.subject, r.action.queue, r.outcome.value, r.detail or r.action.message)
        for r in report.results
    ]
    echo_table(("action", "subject", "queue", "outcome", "why"), rows)
    if any(r.outcome is Outcome.APPLIED and r.action.job for r in report.results):
        click.echo(f"\nTo put the jobs back as they were: gradewatch undo {report.sweep}")


def echo_as_json(report: CycleReport, *, acted: bool = False, code: int | None = None, **more: Any) -> None:
    """The shapes are those of the HTTP API. `code`: an exit code that rests on `more` too, which is shown beside."""
    from gradewatch.http import wire

    status = {0: "healthy", NOT_SO: "findings", CANNOT: "cannot_tell"}[exit_code(report) if code is None else code]
    body: dict[str, Any] = {
        "status": status,
        "summary": headline(report),
        "at": wire.stamp(report.wall),
        "findings": wire.findings(report),
        "workers": [wire.worker(verdict) for verdict in report.diagnosis.verdicts],
        "queues": {stats.queue: _queue_json(stats) for stats in _stats(report)},
        "unknown": unread(report),
    }
    if acted:
        body |= {"sweep": report.sweep, "leader": report.leader, "results": [_result(r) for r in report.results]}
    echo_json(body | more)


def _queue_json(stats: QueueStats) -> dict[str, Any]:
    pending, running = (round((stats.now - at).total_seconds(), 3) if at else None for at in _oldest(stats))
    return {
        "pending": stats.pending,
        "running": stats.running,
        "depth_exact": stats.depth_exact,
        "oldest_pending_seconds": pending,
        "oldest_running_seconds": running,
        "finished": plain(stats.finished_total),
    }


def _result(result: Any) -> dict[str, Any]:
    action = result.action
    return {
        "action": action.kind.value,
        "queue": action.queue,
        "subject": action.subject,
        "outcome": result.outcome.value,
        "reason": action.reason.value,
        "message": action.message,
        "detail": result.detail,
    }
