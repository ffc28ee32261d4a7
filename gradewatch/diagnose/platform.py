"""PURE. What the platform says of the workers it runs: gone, killed for their memory, or dying again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradewatch.model import Code, Exit, ExitKind, Finding, Severity, Snapshot, Target, Unknown, queue_of

RECENT = 600.0  # seconds an exit stays evidence
SHORT_LIFE = 60.0  # a worker that lived shorter than this did not really start
LOOP = 3  # short lives that make a crash loop
MEBI = 1 << 20


def findings(snapshot: Snapshot) -> Iterator[Finding]:
    if isinstance(snapshot.platform, Unknown):
        return
    groups: dict[str, list[Target]] = {}
    for target in snapshot.platform.value:
        groups.setdefault(target.group or target.name, []).append(target)
    for subject, members in groups.items():
        down = [t for t in members if t.wanted and not t.running]
        if down:
            yield _down(subject, down)
        oom = [(t, e) for t in members for e in _recent(t) if e.cause.kind is ExitKind.OOM_KILLED]
        if oom:
            yield _oom(subject, oom)
        dying = [line for t in members for line in _crash_loop(t)]
        if dying:
            yield _dying(subject, members[0], dying)


def _recent(target: Target) -> list[Exit]:
    return [e for e in target.exits if e.seconds_ago < RECENT]


def _crash_loop(target: Target) -> list[tuple[Target, Exit]]:
    """The short lives of a target that does not get beyond its start."""
    recent = _recent(target)
    short = [e for e in recent if e.lifetime < SHORT_LIFE and not e.cause.clean]
    if len(short) >= LOOP or any(e.cause.kind is ExitKind.CRASH_LOOP for e in recent[-1:]):
        return [(target, e) for e in short or recent[-1:]]
    return []


def _down(subject: str, down: Sequence[Target]) -> Finding:
    first = down[0]
    why = first.problem or first.last_exit or "it was never started"
    others = f", and {len(down) - 1} more of {subject}" if len(down) > 1 else ""
    told = [f"{t.name}: {t.problem}" for t in down if t.problem][:5]
    return Finding(
        Code.WORKER_NOT_RUNNING,
        Severity.WARNING,
        subject,
        f"{first.name} is not running: {why}{others}",
        (*told, *(_line(t, e) for t in down for e in t.exits[-3:]))[:8] or ("the platform has no process for it",),
        first.fix
        or "It is restarted as far as cool-down and budget allow, and its jobs are taken back. If it does not stay up, "
        "read its last log lines.",
        "gradewatch audit",
        queue=_queue(first),
    )


def _oom(subject: str, exits: Sequence[tuple[Target, Exit]]) -> Finding:
    names = list(dict.fromkeys(t.name for t, _ in exits))
    others = f", and {len(names) - 1} more of {subject}" if len(names) > 1 else ""
    limit = max(t.memory_limit for t, _ in exits)
    have = f" (its limit is {mebibytes(limit)})" if limit else ""
    raised = f"Raise its memory limit from {mebibytes(limit)} to {mebibytes(suggested(limit))}" if limit else ""
    return Finding(
        Code.WORKER_OOM_KILLED,
        Severity.CRITICAL,
        subject,
        f"{names[0]} was killed for using too much memory{have}{others}",
        tuple(_line(t, e) for t, e in exits[-10:]),
        f"{raised or 'Raise its memory limit'}, or lower worker.slots and worker.max_image_pixels: a restart alone "
        "meets the same end.",
        "gradewatch audit",
        queue=_queue(exits[0][0]),
    )


def suggested(limit: int) -> int:
    """A memory limit to try next, in bytes: half as much again, in steps of 64 MiB."""
    step = 64 * MEBI
    return -(-limit * 3 // (2 * step)) * step


def mebibytes(count: int) -> str:
    """Bytes as Kubernetes writes them, never more than they are."""
    return f"{count // MEBI}Mi" if count >= MEBI else f"{count} bytes"


def _dying(subject: str, target: Target, exits: Sequence[tuple[Target, Exit]]) -> Finding:
    name, managed = exits[0][0].name, bool(target.group)
    return Finding(
        Code.WORKER_CRASH_LOOP,
        Severity.CRITICAL,
        subject,
        f"{name} keeps dying soon after its start",
        tuple(_line(t, e) for t, e in exits[-5:]),
        "Read its last log lines: a missing key, package or file stops it. "
        + (
            "Its platform starts it again, more and more slowly; another restart on top is no cure."
            if managed
            else "Restarts go on more and more slowly until their budget is spent."
        ),
        f"kubectl logs --previous {name}" if managed else "gradewatch worker",
        queue=_queue(target),
    )


def _queue(target: Target) -> str | None:
    return queue_of(target.queues[0]) if target.queues else None


def _line(target: Target, exit_: Exit) -> str:
    who = f"{target.name} " if target.group else ""
    return f"{who}{exit_.cause} {exit_.seconds_ago:.0f} s ago, after {exit_.lifetime:.1f} s"
