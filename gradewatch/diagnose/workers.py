"""PURE. What is wrong with workers whose sessions we see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradewatch.model import Code, Finding, Severity, Verdict, WorkerVerdict
from gradewatch.verdicts import fleet_gate


def findings(verdicts: Sequence[WorkerVerdict]) -> Iterator[Finding]:
    held = fleet_gate(verdicts)
    if held:
        yield Finding(
            Code.MONITOR_SUSPECT,
            Severity.CRITICAL,
            "fleet",
            f"{held}: the monitor or the store is more likely at fault than all of them",
            tuple(f"{v.session.name}: {v.evidence}" for v in verdicts if v.verdict is not Verdict.ALIVE)[:20],
            "Nothing is repaired while this holds. Look at the network between the workers and the store, at the "
            "store itself, and at one worker's log. If they are really gone, start new ones: the gate opens by itself.",
            "gradewatch doctor",
        )
    for v in verdicts:
        if v.verdict is Verdict.STARVED:
            yield Finding(
                Code.WORKER_STARVED,
                Severity.WARNING,
                v.session.name,
                f"{v.session.name} is starved: something blocks its event loop",
                (v.evidence,),
                "It is not dead and keeps its jobs until start_to_close. Move CPU-bound or blocking work off its "
                "event loop, or give it more CPU.",
                f"py-spy dump --pid {v.session.pid}",
                queue=v.session.queues[0] if v.session.queues else None,
            )
