"""PURE. What the platform says of the workers it runs: gone, killed for their memory, or dying again and again."""

from __future__ import annotations

from collections.abc import Iterator

from gradewatch.model import Code, Exit, ExitKind, Finding, Severity, Snapshot, Target, Unknown, queue_of

RECENT = 600.0  # seconds an exit stays evidence
SHORT_LIFE = 60.0  # a worker that lived shorter than this did not really start
LOOP = 3  # short lives that make a crash loop


def findings(snapshot: Snapshot) -> Iterator[Finding]:
    if isinstance(snapshot.platform, Unknown):
        return
    for target in snapshot.platform.value:
        recent = [e for e in target.exits if e.seconds_ago < RECENT]
        oom = [e for e in recent if e.cause.kind is ExitKind.OOM_KILLED]
        short = [e for e in recent if e.lifetime < SHORT_LIFE and not e.cause.clean]
        if target.wanted and not target.running:
            yield _down(target)
        if oom:
            yield _oom(target, oom)
        if len(short) >= LOOP or any(e.cause.kind is ExitKind.CRASH_LOOP for e in recent[-1:]):
            yield _crash_loop(target, short or recent[-1:])


def _down(target: Target) -> Finding:
    return Finding(
        Code.WORKER_NOT_RUNNING,
        Severity.WARNING,
        target.name,
        f"{target.name} is not running: {target.last_exit or 'it was never started'}",
        tuple(_line(e) for e in target.exits[-3:]) or ("the platform has no process for it",),
        "It is restarted as far as cool-down and budget allow, and its jobs are taken back. If it does not stay up, "
        "read its last log lines.",
        "gradewatch audit",
        queue=queue_of(target.queues[0]) if target.queues else None,
    )


def _oom(target: Target, exits: list[Exit]) -> Finding:
    return Finding(
        Code.WORKER_OOM_KILLED,
        Severity.CRITICAL,
        target.name,
        f"{target.name} was killed for using too much memory",
        tuple(_line(e) for e in exits),
        "Raise its memory limit, or lower worker.slots and worker.max_image_pixels: a restart alone meets "
        "the same end.",
        "gradewatch audit",
        queue=queue_of(target.queues[0]) if target.queues else None,
    )


def _crash_loop(target: Target, exits: list[Exit]) -> Finding:
    return Finding(
        Code.WORKER_CRASH_LOOP,
        Severity.CRITICAL,
        target.name,
        f"{target.name} keeps dying soon after its start",
        tuple(_line(e) for e in exits[-5:]),
        "Read its last log lines: a missing key, package or file stops it. Restarts go on more and more slowly until "
        "their budget is spent.",
        "gradewatch worker",
        queue=queue_of(target.queues[0]) if target.queues else None,
    )


def _line(exit_: Exit) -> str:
    return f"{exit_.cause} {exit_.seconds_ago:.0f} s ago, after {exit_.lifetime:.1f} s"
