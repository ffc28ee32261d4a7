"""PURE. Do the repairs themselves help, and is there budget left for them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradewatch.config import Settings
from gradewatch.history import budget_left, given_up
from gradewatch.model import Code, ControlFacts, Finding, Severity, Target, Verdict, WorkerVerdict, group_of


def findings(
    control: ControlFacts, verdicts: Sequence[WorkerVerdict], targets: Sequence[Target], settings: Settings
) -> Iterator[Finding]:
    alive = [v for v in verdicts if v.verdict is Verdict.ALIVE]
    members = {t.name: t.group for t in targets}
    beating = {v.session.target for v in alive} | {members.get(v.target or "", "") for v in alive}
    for target in sorted({group_of(r.target) for r in control.restarts}):
        if given_up(target, control) and target not in beating:
            yield _ineffective(target)
    for kind, queue in sorted(control.spent):
        budget = settings.remediation.budget[kind]
        if budget_left(kind, queue, budget.count, control) == 0:
            yield Finding(
                Code.REMEDIATION_BUDGET_SPENT,
                Severity.CRITICAL,
                f"{kind.value}:{queue}",
                f"The budget for {kind.value} on {queue} is spent: that repair has stopped",
                (f"{control.spent[kind, queue]} applied, {budget.count} allowed in {budget.window:.0f} s",),
                "So many repairs mean that the cause is elsewhere. Find it first; then wait for the window to pass, or "
                f"raise remediation.budget.{kind.value}.",
                "gradewatch audit",
                queue=queue,
            )


def _ineffective(target: str) -> Finding:
    return Finding(
        Code.REMEDIATION_INEFFECTIVE,
        Severity.CRITICAL,
        target,
        f"Restarting {target} does not help, twice in a row",
        ("the last two restarts were refused by the platform, or no beat followed within their verify window",),
        "Gradewatch has stopped restarting it. Start it by hand and read its log; when it is mended, `gradewatch "
        "resume` lets restarts go on.",
        "gradewatch resume",
    )
