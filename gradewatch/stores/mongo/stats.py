"""What a probe reads of a queue: one command, one snapshot, a few index walks, however many documents there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradewatch.model import FINISHED, RUN_BOUNDS, WAIT_BOUNDS, Histogram, QueueStats
from gradewatch.stores.mongo import schema
from gradewatch.stores.mongo.database import LOCAL, SNAPSHOT, Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document, text
from gradewatch.stores.mongo.rows import maybe, when
from gradewatch.stores.mongo.tallies import FOLD, FOLD_FROM, fold, summed

CAP = 10_000  # documents counted where counting is all there is


async def stats(data: Database, queue: str) -> QueueStats:
    of = text(queue)
    facts = await _facts(data, of, FOLD + 1)
    while len(facts["deltas"]) > FOLD:
        facts = await _facts(data, of, FOLD + 1 if await fold(data, of) else None)
        if len(facts["deltas"]) > FOLD + 1:
            break
    made = _stats(queue, facts)
    if len(facts["deltas"]) >= FOLD_FROM:
        await fold(data, of)
    return made


async def _facts(data: Database, queue: str, most: int | None) -> Document:
    exact = await data.replicated()
    limited: list[Document] = [] if most is None else [{"$limit": most}]
    lookups = [
        _lookup("tallies", "tally", {"$match": {"_id": queue}}),
        _lookup("deltas", "deltas", {"$match": {"queue": queue}}, {"$sort": {"_id": 1}}, *limited),
        _oldest(queue, "pending", "run_at"),
        _oldest(queue, "running", "started_at"),
        _counted(queue, "running"),
        *([] if exact else [_counted(queue, "pending")]),
    ]
    meta = data.meta.with_options(read_concern=SNAPSHOT if exact else LOCAL)
    there = await listed(
        meta.aggregate([{"$match": {"_id": "schema"}}, {"$project": {"version": 1, "now": data.moment}}, *lookups])
    )
    if not there:
        raise schema.absent(data.address.shown)
    facts: Document = there[0]
    return facts


def _lookup(collection: str, name: str, *stages: Document) -> Document:
    return {"$lookup": {"from": f"gradewatch_{collection}", "pipeline": list(stages), "as": name}}


def _oldest(queue: str, state: str, since: str) -> Document:
    match: Document = {"state": state, "queue": queue} | (schema.NO_SESSION if state == "pending" else {})
    stages: list[Document] = [{"$match": match}, {"$sort": {since: 1}}, {"$limit": 1}]
    return _lookup("jobs", f"oldest_{state}", *stages, {"$project": {"_id": 0, "at": f"${since}"}})


def _counted(queue: str, state: str) -> Document:
    stages: list[Document] = [{"$match": {"state": state, "queue": queue}}, {"$limit": CAP + 1}, {"$count": "jobs"}]
    return _lookup("jobs", f"counted_{state}", *stages)


def _stats(queue: str, facts: Document) -> QueueStats:
    amounts, times = summed(facts["tally"][0] if facts["tally"] else None, facts["deltas"])
    running = _first(facts["counted_running"], "jobs") or 0
    counted = facts.get("counted_pending")
    pending = amounts["live"] - running if counted is None else _first(counted, "jobs") or 0
    oldest, now = _first(facts["oldest_pending"], "at"), facts["now"]
    runs = {name.split(":")[1] for name in amounts if name.startswith("run:")}
    return QueueStats(
        queue=queue,
        now=when(now),
        pending=max(0, pending if counted is None else min(pending, CAP)),
        running=min(running, CAP),
        depth_exact=running <= CAP and (counted is None or pending <= CAP),
        # The earliest run_at is the longest eligible job's, unless it lies ahead: then none is eligible.
        oldest_pending_at=when(oldest) if oldest is not None and oldest <= now else None,
        oldest_running_at=maybe(_first(facts["oldest_running"], "at")),
        last_started_at=maybe(times.get("running")),
        last_finished_at=maybe(times.get("worked")),
        enqueued_total=amounts["enqueued"],
        retries_total=amounts["retries"],
        finished_total={state.value: amounts[state.value] for state in sorted(FINISHED)},
        papers_total={name.removeprefix("paper:"): n for name, n in amounts.items() if name.startswith("paper:")},
        wait_seconds=_histogram(WAIT_BOUNDS, "wait", amounts),
        run_seconds={state: _histogram(RUN_BOUNDS, f"run:{state}", amounts) for state in sorted(runs)},
    )


def _first(found: Sequence[Document], name: str) -> int | None:
    return found[0][name] if found else None


def _histogram(bounds: tuple[float, ...], name: str, amounts: Any) -> Histogram:
    counts = tuple(amounts[f"{name}:{bucket}"] for bucket in range(len(bounds) + 1))
    return Histogram(bounds, counts, amounts[f"{name}:sum"] / 1_000_000)
