"""PURE. What is believed of each worker, and why (DESIGN rules 4 and 7).

A stale heartbeat is suspicion, not proof. Only the platform proves a death. A silence counts for as long as this
watch has seen it; a single-cycle watch has only the store's clock to go by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradewatch.config import Settings
from gradewatch.model import (
    Session,
    Snapshot,
    Source,
    Target,
    Unknown,
    Verdict,
    WorkerReading,
    WorkerVerdict,
    life_of,
    queue_of,
)

FLEET = 3  # fewer workers than this are no fleet: one silent worker of two proves nothing about the monitor
GATE_WINDOW = 600.0  # seconds: silences that began within it are one event; older sessions are left-overs


def judge(snapshot: Snapshot, settings: Settings) -> tuple[WorkerVerdict, ...]:
    """A verdict for every open session; none when the sessions could not be read."""
    if isinstance(snapshot.workers, Unknown):
        return ()
    targets = () if isinstance(snapshot.platform, Unknown) else snapshot.platform.value
    ended = {life: t for t in targets for life in t.ended_incarnations}
    alive = {t.incarnation: t for t in targets if t.running and t.incarnation}
    timeouts = HeartbeatTimeouts(settings)
    return tuple(
        _judge_one(reading, ended, alive, timeouts[reading.session], snapshot.single)
        for reading in snapshot.workers.value
        if reading.session.ended_at is None
    )


class HeartbeatTimeouts:
    """By session, in seconds: the shortest heartbeat timeout of the queues its worker serves. Worked out once for each
    set of queues, because a fleet of a thousand workers serves but a few."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[tuple[str, ...], float] = {}

    def __getitem__(self, session: Session) -> float:
        if session.queues not in self._known:
            queues = self._settings.queues
            served = [queues[q] for q in map(queue_of, session.queues) if q in queues]
            default = self._settings.timeouts.heartbeat
            self._known[session.queues] = min((q.timeouts.heartbeat for q in served), default=default)
        return self._known[session.queues]


def _judge_one(
    reading: WorkerReading, ended: Mapping[str, Target], alive: Mapping[str, Target], timeout: float, single: bool
) -> WorkerVerdict:
    session = reading.session
    silent = reading.store_silent_seconds if single else reading.silent_seconds
    life = session.incarnation if session.incarnation in ended else life_of(session.incarnation)
    if life in ended:
        target = ended[life]
        return WorkerVerdict(session, Verdict.DEAD, f"its process ended: {_how(target)}", target.name, silent)
    target_now = alive.get(life)
    verdict, evidence = (
        _from_beats(reading, silent, timeout) if session.source is Source.BEATS else _from_job(reading, silent, timeout)
    )
    if verdict is Verdict.SUSPECT and target_now:
        process = f"process {target_now.pid}" if target_now.pid else f"place {target_now.name}"
        evidence += f"; its {process} is still there, so it hangs or is stopped"
    return WorkerVerdict(
        session,
        verdict,
        evidence,
        target_now.name if target_now else None,
        silent,
        # The jobs of one worker fall silent together: that says nothing about the monitor.
        in_fleet=session.source is Source.BEATS and silent < GATE_WINDOW and (single or reading.seen_beating),
    )


def _from_beats(reading: WorkerReading, silent: float, timeout: float) -> tuple[Verdict, str]:
    if silent > timeout:
        return Verdict.SUSPECT, f"no beat for {silent:.1f} s (limit {timeout:.0f} s); nothing proves its death"
    if reading.store_silent_seconds > timeout:
        return Verdict.UNKNOWN, (
            f"its last beat is {reading.store_silent_seconds:.0f} s old by the store's clock, "
            f"but this watch has seen it silent for only {silent:.1f} s"
        )
    if reading.session.loop_age > timeout:
        return Verdict.STARVED, (
            f"its thread beats, but its event loop has not moved for {reading.session.loop_age:.0f} s: "
            "CPU-bound or blocked, not dead"
        )
    return Verdict.ALIVE, f"beat {max(0.0, reading.store_silent_seconds):.1f} s ago"


def _from_job(reading: WorkerReading, silent: float, timeout: float) -> tuple[Verdict, str]:
    """Of a worker that is known only by the job it runs, in a queue that another application owns."""
    if reading.session.source is Source.NOTHING:
        return Verdict.UNKNOWN, "its job has no heartbeat and its worker none either: nothing tells whether it lives"
    if silent > timeout:
        return Verdict.SUSPECT, f"its job has neither moved nor beaten for {silent:.0f} s (limit {timeout:.0f} s)"
    if reading.store_silent_seconds > timeout and not reading.seen_beating:
        return Verdict.UNKNOWN, (
            f"its job last moved {reading.store_silent_seconds:.0f} s ago by the store's clock, "
            f"but this watch has seen it still for only {silent:.0f} s"
        )
    return Verdict.ALIVE, f"its job moved {max(0.0, min(silent, reading.store_silent_seconds)):.0f} s ago"


def _how(target: Target) -> str:
    return str(target.last_exit) if target.last_exit else "the platform no longer knows it"


def fleet_gate(verdicts: Sequence[WorkerVerdict]) -> str | None:
    """Why the monitor itself is suspect, or None (DESIGN rule 7).

    Proved deaths do not count: the gate asks whether *silence* is general, which points at the store or at us. Nor do
    sessions left behind by workers this watch never saw alive: they did not fall silent now.
    """
    fleet = [v for v in verdicts if v.verdict is not Verdict.DEAD and v.in_fleet]
    silent = [v for v in fleet if v.verdict in (Verdict.SUSPECT, Verdict.UNKNOWN)]
    if len(fleet) < FLEET or 2 * len(silent) <= len(fleet):
        return None
    return f"{len(silent)} of {len(fleet)} workers fell silent together"


def absent(verdicts: Sequence[WorkerVerdict]) -> frozenset[str]:
    """Sessions whose jobs may be taken back: dead by proof, or silent for too long."""
    return frozenset(v.session.id for v in verdicts if v.verdict in (Verdict.DEAD, Verdict.SUSPECT))
