"""Claiming jobs: who gets which of them, and in what order."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from itertools import chain

from gradewatch.errors import Conflict, NotFound
from gradewatch.model import Job
from gradewatch.stores.sqlite import rows

# A row changed in the future means that the clock was stepped back since: what waits for a time on the old clock
# would wait for the length of the step.
_ELIGIBLE = """
SELECT json_group_array(json_array(rank, created_at, seq, run_alone)) FROM (
  SELECT -priority AS rank, created_at, seq, run_alone FROM jobs
  WHERE state = 'pending' AND queue = :queue AND (run_at <= gw_now() OR updated_at > gw_now())
    AND kind IN (SELECT value FROM json_each(:kinds))
  ORDER BY priority DESC, created_at, seq LIMIT :limit)
"""
_RUN = """
UPDATE jobs SET state = 'running', attempt = attempt + 1, token = token + 1, session_id = :session,
  started_at = gw_now(), updated_at = gw_now()
"""
_CLAIM = f"{_RUN} WHERE seq IN (SELECT value FROM json_each(:seqs))"
_CLAIMED = f"""
SELECT json_group_array(json_array({rows.JOB_COLUMNS})) FROM (
  SELECT * FROM jobs WHERE seq IN (SELECT value FROM json_each(:seqs)) ORDER BY priority DESC, created_at, seq)
"""
_CLAIM_ONE = f"{_RUN} WHERE id = :id AND state = 'pending' RETURNING {rows.JOB_COLUMNS}"


def claim(
    connection: sqlite3.Connection, session_id: str, queues: Sequence[str], kinds: Collection[str], limit: int
) -> list[Job]:
    _require_open(connection, session_id)
    if limit <= 0:
        return []
    wanted = rows.dump_list(kinds)
    # One ordered index walk per queue, merged: a single query over several queues would sort all that is pending.
    walks = (
        rows.listed(connection, _ELIGIBLE, {"queue": queue, "kinds": wanted, "limit": limit})
        for queue in dict.fromkeys(queues)
    )
    chosen = _alone(connection, session_id, sorted(chain.from_iterable(walks))[:limit])
    if not chosen:
        return []
    parameters = {"session": session_id, "seqs": rows.dump(chosen)}
    connection.execute(_CLAIM, parameters)
    return [rows.job(row) for row in rows.listed(connection, _CLAIMED, parameters)]


def claim_job(connection: sqlite3.Connection, session_id: str, job_id: str) -> Job:
    _require_open(connection, session_id)
    row = connection.execute(_CLAIM_ONE, {"session": session_id, "id": rows.text(job_id)}).fetchone()
    if row is not None:
        return rows.job(row)
    found = connection.execute("SELECT state FROM jobs WHERE id = ?", (rows.text(job_id),)).fetchone()
    if found is None:
        raise NotFound(f"There is no job {job_id}: check the id, or it was purged after its retention time.")
    raise Conflict(f"Job {job_id} is {found['state']}; only a pending job can be claimed. It is untouched.")


def _require_open(connection: sqlite3.Connection, session_id: str) -> None:
    if not connection.execute("SELECT 1 FROM sessions WHERE id = ? AND ended_at IS NULL", (session_id,)).fetchone():
        raise Conflict(f"Session {session_id} has ended or never began: it may claim nothing. Open a new one.")


def _alone(connection: sqlite3.Connection, session_id: str, first: Sequence[Sequence[int]]) -> list[int]:
    """Of the jobs whose turn it is, those this session may have, by the rule of run-alone (ports.JobWriter.claim)."""
    held, held_alone = connection.execute(
        "SELECT count(*), coalesce(max(run_alone), 0) FROM jobs WHERE state = 'running' AND session_id = ?",
        (session_id,),
    ).fetchone()
    if held_alone:
        return []
    before_suspect: list[int] = []
    for *_, seq, run_alone in first:
        if run_alone:
            return before_suspect or ([] if held else [seq])
        before_suspect.append(seq)
    return before_suspect
