"""What a worker writes about a job it holds: progress, checkpoints, its end; each fenced by its token."""

from __future__ import annotations

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import UpdateMany

from gradewatch.errors import Conflict
from gradewatch.model import Claimed, Finish, FinishKind, JobError, PaperResult
from gradewatch.stores.mongo import encode
from gradewatch.stores.mongo.database import Database
from gradewatch.stores.mongo.either import listed
from gradewatch.stores.mongo.encode import Document
from gradewatch.stores.mongo.tallies import Changes


def _held(claim: Claimed) -> Document:
    return {"_id": encode.text(claim.id), "state": "running", "token": claim.token}


def _not_held(claim: Claimed) -> Conflict:
    return Conflict(f"Job {claim.id} is no longer held with token {claim.token}: stop working on it. It is untouched.")


async def progress(data: Database, claim: Claimed, done: int, total: int, message: str) -> None:
    told = {"progress_done": done, "progress_total": total, "status_message": {"$literal": encode.said(message)}}
    update = [{"$set": {**told, "updated_at": data.moment}}]
    if not (await data.quick("jobs").update_one(_held(claim), update)).matched_count:
        raise _not_held(claim)


async def credit_wait(data: Database, claim: Claimed, seconds: float) -> None:
    update = {"$max": {"waited": encode.micros(seconds)}}
    if not (await data.jobs.update_one(_held(claim), update)).matched_count:
        raise _not_held(claim)


async def save_paper(data: Database, claim: Claimed, result: PaperResult) -> None:
    """Raises PayloadError for a detail that cannot be kept."""
    paper = encode.paper(result)
    paper |= {"token": claim.token, "digest": _digest(paper)}
    update = _written_once_more(paper)

    async def work(session: Any) -> None:
        # The job's document is written first: in a transaction that keeps everybody else from it.
        touched = [{"$set": {"updated_at": data.moment}}]
        job = await data.jobs.find_one_and_update(_held(claim), touched, projection={"queue": 1}, session=session)
        if job is None:
            raise _not_held(claim)
        place = {"job": job["_id"], "idx": result.index}
        written = await data.papers.update_one(place, update, upsert=True, session=session)
        if not written.modified_count and written.upserted_id is None:
            return
        if written.upserted_id is not None:
            await data.jobs.update_one(_held(claim), {"$inc": {"progress_done": 1}}, session=session)
        changes = Changes()
        changes.graded(job["queue"], paper["status"])
        await changes.write(data, session)

    await data.transact(work)


def _digest(paper: Document) -> str:
    """Stands for all that is said of a paper: to send that twice would take more than a message may hold."""
    return hashlib.sha256(repr(sorted(paper.items())).encode("utf-8", "surrogatepass")).hexdigest()


def _written_once_more(paper: Document) -> list[Document]:
    """The update of a paper. The same again under the same claim, whose answer got lost, changes nothing."""
    same = [{"$eq": [f"${field}", {"$literal": paper[field]}]} for field in ("token", "digest")]
    times = {"$ifNull": ["$times_written", 0]}
    counted = {"$cond": [{"$and": same}, times, {"$add": [times, 1]}]}
    return [{"$set": {field: {"$literal": value} for field, value in paper.items()} | {"times_written": counted}}]


# ---------------------------------------------------------------- finish


class _Ending:
    """One finish on its way: encoded before the transaction, which may be run again."""

    def __init__(self, given: Finish) -> None:
        self.id, self.token = encode.text(given.claim.id), given.claim.token
        self.kind, self.result, self.error = encode.finish(given)
        self.delay = encode.micros(given.delay)

    def effective(self, row: Mapping[str, Any]) -> FinishKind:
        """A retry without an attempt left is a failure."""
        spent = self.kind is FinishKind.RETRY and row["attempt"] >= row["max_attempts"]
        return FinishKind.FAIL if spent else self.kind

    def update(self, kind: FinishKind, now: int, mark: str) -> Document:
        put: Document = {"updated_at": now, "write": mark}
        if kind in (FinishKind.SUCCEED, FinishKind.FAIL):
            put |= {"state": _STATE[kind], "finished_at": now, "result": self.result}
            return {"$set": put | encode.error_fields(self._why(kind))}
        put |= {"state": "pending", "session_id": None, "started_at": None}
        if kind is FinishKind.RETRY:
            return {"$set": put | {"run_at": now + self.delay} | encode.error_fields(self.error)}
        # run_at stays: the job has been waiting since it was first eligible.
        return {"$set": put, "$inc": {"attempt": -1}}

    def _why(self, kind: FinishKind) -> JobError | None:
        return None if kind is FinishKind.SUCCEED else self.error


_STATE = {FinishKind.SUCCEED: "succeeded", FinishKind.FAIL: "failed"}
_LOOK = {"queue": 1, "state": 1, "token": 1, "attempt": 1, "max_attempts": 1, "started_at": 1}


async def finish(data: Database, finishes: Sequence[Finish]) -> list[bool]:
    endings = [_Ending(given) for given in finishes]
    if not endings:
        return []
    if any(ending.kind is FinishKind.RETRY and ending.delay for ending in endings):
        await data.tick("jobs", 0)  # what is told to wait is due by a clock that may be stepped back

    async def work(session: Any) -> list[bool]:
        held = await _look(data, session, endings)
        chosen: dict[str, _Ending] = {}
        answers = []
        for ending in endings:  # a second finish of one claim comes too late
            row = held.get(ending.id)
            answers.append(row is not None and row["token"] == ending.token and ending.id not in chosen)
            if answers[-1]:
                chosen[ending.id] = ending
        mark = uuid.uuid4().hex
        await _write(data, session, chosen, held, mark)
        if session is None and chosen:
            kept = {row["_id"] for row in await _marked(data, chosen, mark)}
            answers = [answer and ending.id in kept for answer, ending in zip(answers, endings, strict=True)]
            chosen = {job_id: ending for job_id, ending in chosen.items() if job_id in kept}
        await _count(data, session, chosen, held)
        return answers

    return await data.transact(work)


async def _look(data: Database, session: Any, endings: Sequence[_Ending]) -> dict[str, Document]:
    """Those of them that are running, by id, each with the store's time."""
    query = {"_id": {"$in": [ending.id for ending in endings]}, "state": "running"}
    found = data.jobs.aggregate([{"$match": query}, {"$project": {**_LOOK, "now": data.moment}}], session=session)
    return {row["_id"]: row for row in await listed(found)}


async def _write(
    data: Database, session: Any, chosen: Mapping[str, _Ending], held: Mapping[str, Document], mark: str
) -> None:
    """In as few statements as there are different ends."""
    alike: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for job_id, ending in chosen.items():
        kind = ending.effective(held[job_id])
        alike[ending.token, kind, ending.result, ending.error, ending.delay].append(job_id)
    updates = []
    for (token, kind, *_), ids in alike.items():
        update = chosen[ids[0]].update(kind, held[ids[0]]["now"], mark)
        updates.append(UpdateMany({"_id": {"$in": ids}, "state": "running", "token": token}, update))
    if updates:
        await data.jobs.bulk_write(updates, ordered=False, session=session)


async def _marked(data: Database, chosen: Mapping[str, _Ending], mark: str) -> list[Document]:
    return await listed(data.jobs.find({"_id": {"$in": list(chosen)}, "write": mark}, {"_id": 1}))


async def _count(data: Database, session: Any, chosen: Mapping[str, _Ending], held: Mapping[str, Document]) -> None:
    changes = Changes()
    for job_id, ending in chosen.items():
        row = held[job_id]
        kind = ending.effective(row)
        changes.moved(row, _STATE.get(kind, "pending"), row["now"])
        if kind in _STATE:
            changes.worked(row["queue"], row["now"])
        elif kind is FinishKind.RETRY:
            changes.retried(row["queue"])
    await changes.write(data, session)
