"""PURE. Which of the decided repairs may be taken now: mode, pause, restart before fail, budgets, cool-down.

Budgets and cool-downs are counted from the audit trail in the store, so that a restart of the watch changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from gradewatch.config import Settings
from gradewatch.history import budget_left, cooldown_left, in_flight
from gradewatch.model import (
    Action,
    ActionKind,
    ControlFacts,
    JobState,
    Known,
    Outcome,
    Ruling,
    Snapshot,
    Target,
    rescues,
)


def rule(actions: Sequence[Action], snapshot: Snapshot, settings: Settings) -> tuple[Ruling, ...]:
    """One ruling for each action, in the same order. Without the store's control facts nothing is let through."""
    if not isinstance(snapshot.control, Known):
        return tuple(Ruling(a, Outcome.SUPPRESSED, "the audit trail could not be read") for a in actions)
    control = snapshot.control.value
    general = _general(control, settings)
    used: Counter[tuple[ActionKind, str]] = Counter()
    targets: Sequence[Target] = snapshot.platform.value if isinstance(snapshot.platform, Known) else ()
    refusals = {(t.subject, t.incarnation): t.no_restart for t in targets if t.no_restart}
    coming = _restarts_coming([a for a in actions if not _refused(a, refusals)], targets, control, settings)
    rulings = []
    for action in actions:
        why = general or _refused(action, refusals) or _held(action, coming) or _cooling(action, control, settings)
        why = why or _over_budget(action, control, settings, used)
        if why:
            rulings.append(Ruling(action, Outcome.SUPPRESSED, why))
            continue
        used[action.kind, action.queue] += 1
        dry = settings.remediation.mode == "dry-run"
        rulings.append(Ruling(action, Outcome.DRY_RUN if dry else None, "dry run: nothing is changed" if dry else ""))
    return tuple(rulings)


def _general(control: ControlFacts, settings: Settings) -> str:
    if settings.remediation.mode == "off":
        return "remediation.mode is off"
    if control.pause:
        return f"repairs are paused by {control.pause.by}"
    return ""


def _refused(action: Action, refusals: Mapping[tuple[str, str], str]) -> str:
    """Why this target is not to be restarted, by what its platform says: it is no cure, or not the moment."""
    return refusals.get((action.subject, action.incarnation), "") if action.kind is ActionKind.RESTART else ""


def _restarts_coming(
    actions: Sequence[Action], targets: Sequence[Target], control: ControlFacts, settings: Settings
) -> Mapping[str, str]:
    """Queues whose workers are being restarted, or will be as soon as a cool-down ends, or that a rescue worker is
    about to work; with what is being done.

    A restart whose budget is spent does not come, and holds nothing.
    """
    queues = {t.subject: t.queues for t in targets}
    flying = [(r.target, queues.get(r.target, (r.queue,))) for r in control.restarts if in_flight(r.target, control)]
    for action in actions:
        if action.kind is ActionKind.RESTART and _affordable(action, control, settings):
            flying.append((action.subject, queues.get(action.subject, (action.queue,))))
    coming = {queue: f"{name} is being restarted" for name, served in flying for queue in served}
    for queue in _rescues_coming(actions, targets, control, settings):
        coming.setdefault(queue, "a rescue worker is being started")
    return coming


def _rescues_coming(
    actions: Sequence[Action], targets: Sequence[Target], control: ControlFacts, settings: Settings
) -> Iterator[str]:
    for target in targets:
        if target.running and target.running_seconds < settings.remediation.verify:
            yield from rescues(target.queues)
    for action in actions:
        if action.kind is ActionKind.RESCUE and _affordable(action, control, settings):
            yield action.queue


def _affordable(action: Action, control: ControlFacts, settings: Settings) -> bool:
    return budget_left(action.kind, action.queue, settings.remediation.budget[action.kind].count, control) > 0


def _held(action: Action, coming: Mapping[str, str]) -> str:
    """Restart before fail (DESIGN rule 8): a waiting job is not failed while its worker is being restarted."""
    waits = action.kind is ActionKind.EXPIRE and action.job is not None and action.job.state is JobState.PENDING
    if waits and action.queue in coming:
        return f"held while {coming[action.queue]}"
    return ""


def _cooling(action: Action, control: ControlFacts, settings: Settings) -> str:
    if action.kind is not ActionKind.RESTART:
        return ""
    limits = settings.remediation
    left = cooldown_left(action.subject, control, limits.cooldown, limits.cooldown_max)
    return f"cooling down after earlier restarts of {action.subject}" if left > 0 else ""


def _over_budget(
    action: Action, control: ControlFacts, settings: Settings, used: Counter[tuple[ActionKind, str]]
) -> str:
    budget = settings.remediation.budget[action.kind]
    if budget_left(action.kind, action.queue, budget.count, control) > used[action.kind, action.queue]:
        return ""
    return f"the budget of {budget.count} in {budget.window:.0f} s for {action.kind.value} on {action.queue} is spent"
