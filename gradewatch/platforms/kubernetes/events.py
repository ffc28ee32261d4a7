"""The story as Events on pods and their workload, where `kubectl describe` shows it. Telling it is a courtesy: it is
bounded, said once, and given up on rather than waited for."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from gradewatch.model import Action, ActionKind, Code, CycleReport, Finding, Known, Outcome, Result, group_of, life_of
from gradewatch.platforms.kubernetes.api import MERGE_PATCH, Api, Json
from gradewatch.platforms.kubernetes.faults import ApiError
from gradewatch.platforms.kubernetes.roster import Roster
from gradewatch.platforms.kubernetes.workload import Place

log = structlog.get_logger(__name__)

BACKLOG = 100  # notes that wait to be written
BURST, EVERY = 20, 6.0  # at most so many at once, and then one in so many seconds
SERIES = 3600.0  # seconds in which the same thing said again is the same Event, its count raised
BUMP = 300.0  # seconds between two raises of a count
REMEMBERED = 500  # series
LONGEST = 1000  # bytes of a message; the API server refuses more than 1024
HELD_OFF = 300.0  # seconds nothing is written after a refusal

WORDS = {
    Outcome.APPLIED: ("WorkerRestarted", "Normal"),
    Outcome.FAILED: ("RestartFailed", "Warning"),
    Outcome.SUPPRESSED: ("RestartRefused", "Warning"),
    Outcome.DRY_RUN: ("RestartRehearsed", "Normal"),
}
TOLD = {
    Code.WORKER_OOM_KILLED: "WorkerOOMKilled",
    Code.WORKER_CRASH_LOOP: "WorkerCrashLoop",
    Code.WORKER_NEVER_SEEN: "WorkerNeverSeen",
    Code.WORKER_NOT_RUNNING: "WorkerNotRunning",
    Code.REMEDIATION_INEFFECTIVE: "RestartsGivenUp",
    Code.REMEDIATION_BUDGET_SPENT: "BudgetSpent",
}


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to be said of one object: a pod, or the workload where `pod` is empty."""

    pod: str  # its UID
    name: str
    kind: str  # Normal | Warning
    reason: str
    message: str


@dataclass
class _Series:
    event: str  # its name; empty while it was not written
    count: int
    began: float
    told: float


class Teller:
    """`hear` takes reports, `run` writes what they say."""

    def __init__(self, api: Api, place: Place, roster: Roster, uid_of_workload: list[str]) -> None:
        self._api, self._place, self._roster, self._workload = api, place, roster, uid_of_workload
        self._events = f"/api/v1/namespaces/{place.namespace}/events"
        self._notes: deque[Note] = deque()
        self._news, self._quiet = asyncio.Event(), asyncio.Event()
        self._quiet.set()
        self._series: OrderedDict[tuple[str, str, str], _Series] = OrderedDict()
        self._verified: dict[int, bool | None] | None = None
        self._findings: set[tuple[Code, str]] = set()
        self._tokens, self._filled = float(BURST), time.monotonic()
        self._dropped = 0

    def hear(self, report: CycleReport) -> None:
        """The acting watch alone speaks; the others only remember, so as not to repeat it when they take over."""
        notes = [
            *self._of_findings(report),
            *self._of_jobs(report),
            *self._of_restarts(report),
            *self._of_verdicts(report),
        ]
        if not report.leader:
            return
        for note in notes:
            if not self._due(note):
                continue
            if len(self._notes) >= BACKLOG:
                self._dropped += 1
                continue
            self._notes.append(note)
            self._news.set()
            self._quiet.clear()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            while self._notes:
                await self._allowance()
                try:
                    await self._write(self._notes.popleft())
                except ApiError as error:
                    log.warning("event not written", error=str(error))
                    if error.refused:
                        self._notes.clear()
                        await asyncio.sleep(HELD_OFF)
            if self._dropped:
                log.warning("events left out, for there were too many", events=self._dropped)
                self._dropped = 0
            self._news.clear()
            self._quiet.set()

    async def finish(self, seconds: float) -> None:
        """Let what is under way be written, for so long at most."""
        try:
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        except TimeoutError:
            log.warning("events not written any more", events=len(self._notes))

    # ---------------------------------------------------------------- what a report says

    def _of_restarts(self, report: CycleReport) -> Iterator[Note]:
        for result in report.results:
            if result.action.kind is ActionKind.RESTART and result.outcome in WORDS:
                reason, kind = WORDS[result.outcome]
                why = "" if result.outcome is Outcome.APPLIED else f": {result.detail}" if result.detail else ""
                yield from self._both(result.action, kind, reason, f"{result.action.message}{why}")

    def _both(self, action: Action, kind: str, reason: str, message: str) -> Iterator[Note]:
        """On the workload, and on the pod where it is about one."""
        _, _, name = action.subject.partition("/")
        if name:
            yield Note(action.incarnation, name, kind, reason, message)
        yield Note("", self._place.name, kind, reason, message)

    def _of_jobs(self, report: CycleReport) -> Iterator[Note]:
        sessions = {v.session.id: v.session for v in report.diagnosis.verdicts}
        taken: dict[str, list[Result]] = {}
        for result in report.results:
            session = sessions.get((result.action.job and result.action.job.session_id) or "")
            back = result.action.kind in (ActionKind.REQUEUE, ActionKind.FAIL) and result.outcome is Outcome.APPLIED
            if back and session is not None and session.incarnation:
                taken.setdefault(session.incarnation, []).append(result)
        for incarnation, results in taken.items():
            pod = self._roster.by_uid(life_of(incarnation))
            if pod is None:
                continue
            jobs = f"{len(results)} job{'s' if len(results) > 1 else ''}"
            message = f"Took back {jobs} of {pod.facts.name}: {results[0].action.message}"
            yield Note(pod.facts.uid, pod.facts.name, "Warning", "JobsTakenBack", message)
            yield Note("", self._place.name, "Warning", "JobsTakenBack", message)

    def _of_verdicts(self, report: CycleReport) -> Iterator[Note]:
        """Which restarts have been judged since the last report."""
        if not isinstance(report.snapshot.control, Known):
            return
        restarts = [r for r in report.snapshot.control.value.restarts if group_of(r.target) == self._place.name]
        before, self._verified = self._verified, {r.audit_id: r.verified for r in restarts}
        for record in restarts:
            if before is None or record.verified is None or before.get(record.audit_id, False) is not None:
                continue
            if record.verified:
                yield Note("", self._place.name, "Normal", "RestartVerified", f"Restarting {record.target} helped")
            else:
                words = f"Restarting {record.target} did not help: no worker of it beat within its verify window"
                yield Note("", self._place.name, "Warning", "RestartIneffective", words)

    def _of_findings(self, report: CycleReport) -> Iterator[Note]:
        """Those that are new, of the workload and of its queues."""
        told = [f for f in report.diagnosis.findings if f.code in TOLD]
        new = [f for f in told if (f.code, f.subject) not in self._findings]
        if report.leader:
            self._findings = {(f.code, f.subject) for f in told}
        yield from (self._finding(f) for f in new)

    def _finding(self, finding: Finding) -> Note:
        return Note("", self._place.name, "Warning", TOLD[finding.code], f"{finding.summary}. {finding.fix}")

    # ---------------------------------------------------------------- once, and not too often

    def _due(self, note: Note) -> bool:
        now, key = time.monotonic(), (note.pod, note.reason, note.message)
        series = self._series.get(key)
        if series is None or now - series.began > SERIES:
            self._series[key] = _Series("", 0, now, now)
            self._series.move_to_end(key)
            while len(self._series) > REMEMBERED:
                self._series.popitem(last=False)
            return True
        series.count += 1
        if now - series.told < BUMP:
            return False
        series.told = now
        return True

    async def _allowance(self) -> None:
        while True:
            now = time.monotonic()
            self._tokens = min(float(BURST), self._tokens + (now - self._filled) / EVERY)
            self._filled = now
            if self._tokens >= 1.0:
                self._tokens -= 1.0
                return
            await asyncio.sleep((1.0 - self._tokens) * EVERY)

    async def _write(self, note: Note) -> None:
        series = self._series.get((note.pod, note.reason, note.message))
        if series is not None and series.event:
            patch = {"count": series.count + 1, "lastTimestamp": _stamp()}
            try:
                await self._api.request("PATCH", f"{self._events}/{series.event}", body=patch, content_type=MERGE_PATCH)
                return
            except ApiError as error:
                if error.status != 404:  # Events are deleted after an hour
                    raise
        body = self._event(note)
        await self._api.request("POST", self._events, body=body)
        if series is not None:
            series.event = body["metadata"]["name"]

    def _event(self, note: Note) -> Json:
        now = _stamp()
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{note.name[:200]}.{secrets.token_hex(8)}",
                "namespace": self._place.namespace,
            },
            "involvedObject": self._object(note),
            "type": note.kind,
            "reason": note.reason,
            "message": note.message.encode()[:LONGEST].decode(errors="ignore"),
            "source": {"component": "gradewatch"},
            "reportingComponent": "gradewatch",
            "reportingInstance": socket.gethostname()[:128],
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }

    def _object(self, note: Note) -> Json:
        if note.pod:
            about = {"apiVersion": "v1", "kind": "Pod", "uid": note.pod}
        else:
            uid = next(iter(self._workload), "")
            about = {"apiVersion": "apps/v1", "kind": self._place.kind, **({"uid": uid} if uid else {})}
        return {**about, "name": note.name, "namespace": self._place.namespace}


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
