"""PURE. Is the store reachable, ours to use, complete, and on time?"""

from __future__ import annotations

from collections.abc import Iterator

from gradewatch.model import Code, Finding, Known, Severity, Snapshot, StoreFacts, Unknown

SKEW_LIMIT = 10.0  # seconds; ages never compare two clocks, but a person comparing logs would be misled

_STORE_FIXES = {
    Code.STORE_UNREACHABLE: (
        "The store cannot be used",
        "Nothing is repaired meanwhile, and the outage is credited to every waiting job. Bring the store back; "
        "check its address, disk and locks.",
        "gradewatch check-config",
    ),
    Code.STORE_ACCESS_DENIED: (
        "The store refuses this role",
        "Give this process the role, key or file permission it needs; an empty answer here is not an empty queue.",
        "gradewatch check-config",
    ),
    Code.STORE_SCHEMA_MISMATCH: (
        "The store's tables are not those this version needs",
        "Create or upgrade them, or run the version that made them.",
        "gradewatch migrate",
    ),
}


def findings(snapshot: Snapshot) -> Iterator[Finding]:
    for code, refusal in _refusals(snapshot).items():
        summary, fix, command = _STORE_FIXES[code]
        yield Finding(code, Severity.CRITICAL, "store", summary, (refusal.reason,), refusal.fix or fix, command)
    if isinstance(snapshot.store, Known):
        yield from _condition(snapshot.store.value, snapshot.clock_step)


def _refusals(snapshot: Snapshot) -> dict[Code, Unknown]:
    """How the store failed its probes, one reading a code. A probe of ours that broke is no word about the store,
    unless it was the one that asks whether the store is there."""
    refusals: dict[Code, Unknown] = {}
    for reading in (snapshot.workers, snapshot.control, *snapshot.queues.values()):
        if isinstance(reading, Unknown) and reading.code in _STORE_FIXES:
            refusals[reading.code] = reading
    if isinstance(snapshot.store, Unknown):
        code = snapshot.store.code if snapshot.store.code in _STORE_FIXES else Code.STORE_UNREACHABLE
        refusals[code] = snapshot.store
    return refusals


def _condition(facts: StoreFacts, step: float) -> Iterator[Finding]:
    if facts.missing_indexes:
        yield Finding(
            Code.STORE_INDEX_MISSING,
            Severity.WARNING,
            facts.kind,
            f"{len(facts.missing_indexes)} index(es) missing: probes and claims slow down as the table grows",
            tuple(f"missing index {name}" for name in facts.missing_indexes),
            "Create them.",
            "gradewatch migrate",
        )
    yield from _clock(facts, step)


def _clock(facts: StoreFacts, step: float) -> Iterator[Finding]:
    evidence = []
    if abs(facts.clock_offset) > SKEW_LIMIT:
        evidence.append(f"the store's clock differs from this machine's by {facts.clock_offset:+.1f} s")
    if abs(step) > SKEW_LIMIT:
        evidence.append(f"the store's clock was stepped by {step:+.1f} s since the last cycle")
    if evidence:
        yield Finding(
            Code.CLOCK_SKEW,
            Severity.WARNING,
            facts.kind,
            "Clocks disagree",
            tuple(evidence),
            "Ages are by the store's clock alone and a step is credited, so no job is failed for it; but times in logs "
            "mislead. Check NTP on both machines.",
            "timedatectl status",
        )
