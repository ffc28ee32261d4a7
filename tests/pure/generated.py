"""Hypothesis strategies: any world the probes could bring, and some they should not.

All are built once, at import: building a strategy costs far more than drawing from it.
"""

from __future__ import annotations

from typing import Any

from builders import NOW, ago
from hypothesis import strategies as st
from world import (
    OOM,
    SIGKILL,
    control,
    credential,
    facts,
    read,
    restart,
    running,
    settings,
    target,
    waiting,
    worker,
)

from gradewatch.config import Budget, Settings
from gradewatch.config.settings import DEFAULT_BUDGETS
from gradewatch.model import (
    ActionKind,
    Code,
    Credit,
    Exit,
    ExitCause,
    ExitKind,
    Outcome,
    Pause,
    QueueFacts,
    Sight,
    Snapshot,
    StoreFacts,
    Unknown,
)

QUEUES = ("default", "reports")
SESSIONS = tuple(f"s{n}" for n in range(5))
LIVES = tuple(f"life-{n}" for n in range(4))
PLACES = ("place-0", "place-1", "place-2")

# On either side of every limit there is.
seconds = st.sampled_from([1.0, 0.0, 14.0, 16.0, 31.0, 61.0, 290.0, 301.0, 700.0, 1801.0, 4000.0])
moments = seconds.map(ago)
unread = st.sampled_from([None, Code.STORE_UNREACHABLE, Code.STORE_ACCESS_DENIED]).map(
    lambda code: Unknown("the probe failed", 1000.0, code)
)
served = st.sampled_from([("default",), QUEUES, ("reports",), ("elsewhere",), ()])
causes = st.sampled_from([SIGKILL, OOM, ExitCause(ExitKind.EXITED, 0), ExitCause(ExitKind.CRASH_LOOP)])

workers = st.lists(
    st.builds(
        worker,
        st.sampled_from(SESSIONS),
        silent=seconds,
        store_silent=seconds,
        seen_beating=st.booleans(),
        loop_age=st.sampled_from([0.1, 60.0]),
        queues=served,
        busy=st.integers(0, 2),
        incarnation=st.sampled_from(("", *LIVES)),
        target=st.sampled_from(("", *PLACES)),
        started_at=moments,
        ended_at=st.sampled_from([None, None, None, ago(2)]),
        end_reason=st.sampled_from(["", "drained", "silent: no beat"]),
    ),
    max_size=5,
    unique_by=lambda w: w.session.id,
)
targets = st.lists(
    st.builds(
        target,
        st.sampled_from(PLACES),
        life=st.sampled_from(("", *LIVES)),
        queues=served,
        running=st.booleans(),
        running_seconds=seconds,
        wanted=st.sampled_from([True, True, False]),
        last_exit=st.none() | causes,
        exits=st.lists(st.builds(Exit, seconds, seconds, causes), max_size=3).map(tuple),
        ended_incarnations=st.lists(st.sampled_from(LIVES), max_size=2).map(tuple),
        sight=st.sampled_from(list(Sight)),
        no_restart=st.sampled_from(["", "", "Its image cannot be pulled: name one that exists."]),
    ),
    max_size=3,
    unique_by=lambda t: t.name,
)
restarts = st.lists(
    st.builds(
        restart,
        seconds,
        st.sampled_from([None, True, False]),
        of=st.sampled_from(PLACES),
        outcome=st.sampled_from([Outcome.APPLIED, Outcome.FAILED]),
    ),
    max_size=4,
).map(lambda records: tuple(sorted(records, key=lambda r: r.at)))
controls = st.builds(
    lambda past, **changes: control(*past, **changes),
    restarts,
    pause=st.sampled_from([None, None, None, Pause(ago(60), None, "ana"), Pause(ago(60), NOW, "ana")]),
    resumed_at=st.none() | moments,
    credits=st.lists(st.builds(Credit, st.just("outage"), moments, moments), max_size=2).map(tuple),
    spent=st.dictionaries(st.tuples(st.sampled_from(list(ActionKind)), st.sampled_from(QUEUES)), st.integers(0, 4)),
)
stores = st.builds(
    StoreFacts,
    st.just("sqlite"),
    st.just(NOW),
    st.sampled_from([0.0, 60.0]),
    st.sampled_from([(), ("jobs_claim",)]),
    st.dictionaries(st.sampled_from(QUEUES), st.booleans()),
)
environments = st.sampled_from([(), (credential(None),), (credential(Code.CREDENTIAL_MISSING),)])

_kinds = st.sampled_from(["waits", "runs", "held", "runs and held"])
_holders = st.sampled_from([*SESSIONS, "gone", None])
_jobs = st.lists(st.tuples(_kinds, seconds, _holders, st.integers(0, 3), st.integers(1, 4)), max_size=5)


def _facts(name: str, rows: list[tuple[Any, ...]], started: Any, truncated: bool) -> QueueFacts:
    jobs, held = [], []
    for n, (kind, age, by, lost, attempt) in enumerate(rows):
        id = f"{name}-{n}"
        if kind == "waits":
            jobs.append(waiting(age, id, queue=name))
        else:
            job = running(age, id, by=by, queue=name, lost=lost, attempt=attempt)
            jobs += [job] * (kind == "runs")  # the builder lists what is held as running too
            held += [job] * (kind != "runs")
    return facts(jobs, held=held, stats={"queue": name, "last_started_at": started}, truncated=truncated)


queue_facts = {name: st.builds(_facts, st.just(name), _jobs, st.none() | moments, st.booleans()) for name in QUEUES}


def _reading(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly read, at times not."""
    return st.one_of(values, values, values, unread).map(read)


_readings: dict[str, st.SearchStrategy[Any]] = {
    "store": _reading(stores),
    "workers": _reading(workers.map(tuple)),
    "platform": _reading(targets.map(tuple)),
    "control": _reading(controls),
    "environment": _reading(environments),
    "queues": st.fixed_dictionaries({name: _reading(queue_facts[name]) for name in QUEUES}),
    "observe_only": st.sampled_from([False, False, False, True]),
    "single": st.booleans(),
    "clock_step": st.sampled_from([0.0, -3600.0]),
}


def worlds(**given: st.SearchStrategy[Any]) -> st.SearchStrategy[Snapshot]:
    """Snapshots of two queues; `given` stands for other readings or fields."""
    return st.builds(Snapshot, st.just(1000.0), **(_readings | given))


def _settings(mode: str, count: int, **queue: Any) -> Settings:
    budget = {kind: Budget(count, 600.0) for kind in DEFAULT_BUDGETS}
    return settings(queues=QUEUES, remediation={"mode": mode, "budget": budget}, **queue)


any_settings = st.builds(
    _settings,
    st.sampled_from(["act", "act", "dry-run", "off"]),
    st.integers(0, 4),
    on_lost=st.sampled_from(["requeue", "fail", "keep"]),
    on_schedule_to_start=st.sampled_from(["fail", "keep"]),
    on_start_to_close=st.sampled_from(["fail", "keep"]),
    paused=st.sampled_from([False, False, True]),
)
