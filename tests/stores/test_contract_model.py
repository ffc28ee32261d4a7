"""Every store: any order of calls, compared with a simple model; and many at once. No job is lost, none is finished
twice, none is stuck."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from backends import BACKENDS, Backend, StepClock, opened
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from store_kit import KINDS, QUEUES, Hands, action, fence, get, graded, new, new_session, ref

from gradewatch.errors import Conflict
from gradewatch.model import (
    Action,
    ActionKind,
    Claimed,
    Code,
    Finish,
    FinishKind,
    Job,
    JobRef,
    JobState,
    Outcome,
)
from gradewatch.ports import Verb

PENDING, RUNNING = JobState.PENDING, JobState.RUNNING
WORKERS = 3


@dataclass
class Expected:
    """What the model knows of a job."""

    place: int
    priority: int
    max_attempts: int
    run_at: int
    state: JobState = PENDING
    attempt: int = 0
    token: int = 0
    lost: int = 0
    alone: bool = False
    worker: str | None = None
    successes: int = 0


class StoreMachine(RuleBasedStateMachine):
    """Three workers, a repairer that may act on what it read long ago, a person, and a clock."""

    backend: type[Backend]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.clock = StepClock()
        self.store = self.backend(Path(self.folder.name)).handle(self.clock)
        self.jobs: dict[str, Expected] = {}
        self.workers: list[str] = []
        self.believed: dict[int, list[Claimed]] = {}
        self.read: list[JobRef] = []
        self.sweep = 0

    def do(self, call: Any) -> Any:
        return self.loop.run_until_complete(call)

    @initialize()
    def begin(self) -> None:
        self.do(self.store.migrate())
        self.do(self.store.open())
        self.workers = [self.do(self.store.open_session(new_session(f"worker-{n}"))) for n in range(WORKERS)]
        self.believed = {n: [] for n in range(WORKERS)}

    def teardown(self) -> None:
        try:
            if self.workers:
                self.drain()
        finally:
            self.do(self.store.close())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            self.folder.cleanup()

    # ------------------------------------------------------------ backends and workers

    @rule(
        count=st.integers(1, 4),
        priority=st.integers(-1, 1),
        attempts=st.integers(1, 3),
        delay=st.sampled_from([0, 0, 3]),
    )
    def submit(self, count: int, priority: int, attempts: int, delay: int) -> None:
        given = [new(priority=priority, max_attempts=attempts, delay=delay) for _ in range(count)]
        for job_id in self.do(self.store.submit(given)):
            run_at = self.clock.micros + delay * 1_000_000
            self.jobs[job_id] = Expected(len(self.jobs), priority, attempts, run_at)

    def due(self, worker: str, limit: int) -> list[str]:
        """Which jobs the worker must get, in order."""
        held = [job for job in self.jobs.values() if job.worker == worker]
        if any(job.alone for job in held):
            return []
        ready = [name for name, job in self.jobs.items() if job.state is PENDING and job.run_at <= self.clock.micros]
        ready.sort(key=lambda name: (-self.jobs[name].priority, self.jobs[name].place))
        chosen: list[str] = []
        for name in ready[:limit]:
            if self.jobs[name].alone:
                return chosen or ([] if held else [name])
            chosen.append(name)
        return chosen

    @rule(n=st.integers(0, WORKERS - 1), limit=st.integers(1, 4))
    def claim(self, n: int, limit: int) -> None:
        due = self.due(self.workers[n], limit)
        claimed = self.do(self.store.claim(self.workers[n], QUEUES, KINDS, limit))
        assert [job.id for job in claimed] == due
        for job in claimed:
            expected = self.jobs[job.id]
            expected.state, expected.worker = RUNNING, self.workers[n]
            expected.attempt += 1
            expected.token += 1
            self.believed[n].append(fence(job))

    def holds(self, claim: Claimed) -> bool:
        job = self.jobs[claim.id]
        return job.state is RUNNING and job.token == claim.token

    @precondition(lambda self: any(self.believed.values()))
    @rule(data=st.data(), kind=st.sampled_from(list(FinishKind)), again=st.booleans())
    def finish(self, data: st.DataObject, kind: FinishKind, again: bool) -> None:
        """A worker lets go of what it believes it holds; sometimes it does not notice, and tries once more later."""
        n = data.draw(st.sampled_from([n for n, claims in self.believed.items() if claims]))
        claim = data.draw(st.sampled_from(self.believed[n]))
        held = self.holds(claim)
        assert self.do(self.store.finish([Finish(claim, kind, {}, delay=2)])) == [held]
        if not again:
            self.believed[n].remove(claim)
        if held:
            self.let_go(self.jobs[claim.id], kind)

    def let_go(self, job: Expected, kind: FinishKind) -> None:
        job.worker = None
        if kind is FinishKind.SUCCEED:
            job.state = JobState.SUCCEEDED
            job.successes += 1
        elif kind is FinishKind.FAIL or (kind is FinishKind.RETRY and job.attempt >= job.max_attempts):
            job.state = JobState.FAILED
        else:
            job.state = PENDING
            job.attempt -= kind is FinishKind.RELEASE
            job.run_at = self.clock.micros + 2_000_000 if kind is FinishKind.RETRY else job.run_at

    @precondition(lambda self: any(self.believed.values()))
    @rule(data=st.data(), index=st.integers(0, 3))
    def save_paper(self, data: st.DataObject, index: int) -> None:
        claim = data.draw(st.sampled_from([claim for claims in self.believed.values() for claim in claims]))
        if self.holds(claim):
            self.do(self.store.save_paper(claim, graded(index)))
        else:
            with pytest.raises(Conflict):
                self.do(self.store.save_paper(claim, graded(index)))

    @rule(n=st.integers(0, WORKERS - 1))
    def beat(self, n: int) -> None:
        reply = self.do(self.store.beat(self.workers[n], loop_age=0, busy=1))
        held = {Claimed(name, job.token) for name, job in self.jobs.items() if job.worker == self.workers[n]}
        assert reply.session_open
        assert reply.held == held

    @rule(n=st.integers(0, WORKERS - 1))
    def die(self, n: int) -> None:
        """The worker's session is ended; the process may be only hung, and still write under its old claims."""
        assert self.do(self.store.end_session(self.workers[n], "silent"))
        self.workers[n] = self.do(self.store.open_session(new_session(f"worker-{n}")))

    @rule(seconds=st.sampled_from([0.5, 2, 30]))
    def time_passes(self, seconds: float) -> None:
        self.clock.step(seconds)

    # ------------------------------------------------------------ repairs

    @rule()
    def look(self) -> None:
        """Read what might need repair; it is repaired now or much later."""
        self.read += self.do(self.store.held("default", [], kinds=KINDS, limit=100))
        self.read += self.do(self.store.overdue("default", PENDING, 20, kinds=KINDS, limit=100))

    @precondition(lambda self: self.read)
    @rule(data=st.data(), alone=st.booleans())
    def repair(self, data: st.DataObject, alone: bool) -> None:
        seen = data.draw(st.lists(st.sampled_from(self.read), min_size=1, max_size=4))
        self.apply([self.remedy(one, alone) for one in seen])

    def remedy(self, seen: JobRef, alone: bool) -> Action:
        kind = ActionKind.REQUEUE if seen.state is RUNNING else ActionKind.EXPIRE
        return Action(kind, seen.queue, Code.WORKER_NOT_RUNNING, "repair", job=seen, run_alone=alone)

    def apply(self, actions: list[Action]) -> None:
        self.sweep += 1
        results = self.do(self.store.repair(actions, sweep=f"s{self.sweep}", by="watch"))
        for one, result in zip(actions, results, strict=True):
            assert one.job is not None
            job = self.jobs[one.job.id]
            still = (job.state, job.token) == (one.job.state, one.job.token)
            if job.state is PENDING:
                still = still and job.run_at == round(one.job.run_at.timestamp() * 1e6)
            assert result.outcome is (Outcome.APPLIED if still else Outcome.NOOP)
            if still:
                self.taken_back(job, one)

    def taken_back(self, job: Expected, one: Action) -> None:
        job.worker = None
        job.lost += job.state is RUNNING
        if one.kind is ActionKind.EXPIRE or job.attempt >= job.max_attempts:
            job.state = JobState.FAILED
        else:
            job.state, job.run_at, job.alone = PENDING, self.clock.micros, one.run_alone

    @precondition(lambda self: self.sweep)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        """What was put back is taken over from the store; the invariants still hold of it."""
        sweep = data.draw(st.integers(1, self.sweep))
        for entry, done in self.do(self.store.undo(f"s{sweep}", by="ann")):
            if done:
                job, now = self.jobs[entry.subject], self.do(get(self.store, entry.subject))
                assert job.state in (PENDING, JobState.FAILED)
                assert now.state is PENDING
                job.state, job.attempt, job.lost, job.alone = PENDING, now.attempt, now.lost, now.run_alone
                job.run_at = self.clock.micros

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), verb=st.sampled_from(["requeue", "fail", "cancel"]))
    def by_hand(self, data: st.DataObject, verb: Verb) -> None:
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        job = self.jobs[job_id]
        over = (JobState.FAILED, JobState.CANCELLED)
        allowed = job.state is RUNNING or job.state in (over if verb == "requeue" else (PENDING,))
        call = self.store.operate(job_id, verb, by="ann", sweep="hand", message="")
        if not allowed:
            with pytest.raises(Conflict):
                self.do(call)
            return
        self.do(call)
        job.worker = None
        if verb == "requeue":
            job.state, job.attempt, job.lost, job.alone, job.run_at = PENDING, 0, 0, False, self.clock.micros
        else:
            job.state = JobState.FAILED if verb == "fail" else JobState.CANCELLED

    # ------------------------------------------------------------ what must always hold

    @invariant()
    def every_job_is_as_expected(self) -> None:
        if not self.workers:
            return
        found: list[Job] = self.do(self.store.jobs(limit=1000))
        assert len(found) == len(self.jobs), "no job is lost"
        for job in found:
            expected = self.jobs[job.id]
            assert (job.state, job.attempt, job.token) == (expected.state, expected.attempt, expected.token)
            assert (job.lost, job.run_alone) == (expected.lost, expected.alone)
            assert expected.successes <= 1, "no job is finished twice"
            assert job.state is not PENDING or job.attempt < job.max_attempts

    @invariant()
    def depth_is_a_real_count(self) -> None:
        if not self.workers:
            return
        stats = self.do(self.store.stats("default"))
        count = Counter(job.state for job in self.jobs.values())
        assert (stats.pending, stats.running) == (count[PENDING], count[RUNNING])
        assert stats.enqueued_total == len(self.jobs)

    def drain(self) -> None:
        """No job is stuck: with one more worker and one more sweep, all come to an end."""
        for worker in self.workers:
            self.do(self.store.end_session(worker, "over"))
        self.apply([self.remedy(one, False) for one in self.do(self.store.held("default", [], kinds=None, limit=1000))])
        hands = self.do(Hands.open(self.store))
        self.clock.step(60)
        while batch := self.do(hands.claim(4)):
            assert all(self.do(self.store.finish([Finish(fence(job), FinishKind.SUCCEED) for job in batch])))
        assert all(job.state.finished for job in self.do(self.store.jobs(limit=1000)))


@pytest.mark.parametrize("name", list(BACKENDS))
def test_any_order_of_calls(name: str) -> None:
    machine = type("Machine", (StoreMachine,), {"backend": BACKENDS[name]})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=BACKENDS[name].examples, stateful_step_count=30, deadline=None, suppress_health_check=checks
        ),
    )


async def test_many_at_once(backend: Backend) -> None:
    """Workers that crash at random and a repairer, each with a handle of its own, until all is done."""
    chance = random.Random(20260302)
    async with opened(backend.handle(None)) as store:
        submitted = await store.submit([new(max_attempts=1000) for _ in range(120)])
        successes: Counter[str] = Counter()
        over = asyncio.Event()

        async def worker() -> None:
            async with opened(backend.handle(None)) as mine:
                while not over.is_set():
                    hands = await Hands.open(mine)
                    for _ in range(chance.randint(1, 6)):
                        jobs = await hands.claim(chance.randint(1, 5))
                        kinds = chance.choices(list(FinishKind), weights=[6, 0, 1, 1], k=len(jobs))
                        finishes = [Finish(fence(job), kind) for job, kind in zip(jobs, kinds, strict=True)]
                        for finish, held in zip(
                            finishes, await mine.finish(finishes[: chance.randint(0, 5)]), strict=False
                        ):
                            successes[finish.claim.id] += held and finish.kind is FinishKind.SUCCEED
                    await hands.end()

        async def repairer() -> None:
            async with opened(backend.handle(None)) as mine:
                while sum(successes.values()) < len(submitted):
                    held = await mine.held("default", [], kinds=None, limit=50)
                    found = [job for one in held if (job := await mine.job(one.id)) and ref(job) == one]
                    await mine.repair([action(ActionKind.REQUEUE, job) for job in found], sweep="s", by="w")
            over.set()

        async with asyncio.timeout(60):
            await asyncio.gather(repairer(), *(worker() for _ in range(3)))
        assert successes == Counter(submitted), "each job succeeded exactly once"
        stats = await store.stats("default")
        assert (stats.pending, stats.running, stats.finished_total["succeeded"]) == (0, 0, len(submitted))
