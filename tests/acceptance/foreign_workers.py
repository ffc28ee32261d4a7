"""Workers as backends have them, with all their faults: no beat, an unguarded last write, a claim in two steps.

Run as `python foreign_workers.py SHAPE URL NAME SECONDS [GAP]`: SECONDS of work on each job, GAP seconds between the
two steps of a claim in SQL.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

PAPERS = 20


def now_text() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def tasks(url: str, name: str, seconds: float) -> None:
    """Claims with find_one_and_update; times are text here and datetimes there."""
    from pymongo import MongoClient

    found: Any = MongoClient(url).get_default_database()["tasks"]
    while True:
        claimed = {"status": "processing", "claimed_at": now_text(), "started_at": datetime.now(UTC)}
        task = found.find_one_and_update({"status": "pending"}, {"$set": claimed}, sort=[("created_at", 1)])
        if task is None:
            time.sleep(0.05)
            continue
        time.sleep(seconds)
        done = {"status": "completed", "completed_at": datetime.now(UTC)}
        found.update_one({"task_id": task["task_id"]}, {"$set": done})


def grading_jobs(url: str, name: str, seconds: float) -> None:
    """The same with progress: "12/30", each paper moves updated_at."""
    from pymongo import MongoClient

    found: Any = MongoClient(url).get_default_database()["grading_jobs"]
    while True:
        claimed = {"status": "processing", "updated_at": now_text(), "started_at": now_text(), "worker_id": name}
        job = found.find_one_and_update({"status": "pending"}, {"$set": claimed}, sort=[("created_at", 1)])
        if job is None:
            time.sleep(0.05)
            continue
        for paper in range(job["total_papers"]):
            time.sleep(seconds / job["total_papers"])
            moved = {"processed_papers": paper + 1, "updated_at": now_text()}
            if paper + 1 == job["total_papers"]:
                moved |= {"status": "completed", "completed_at": now_text()}
            found.update_one({"job_id": job["job_id"]}, {"$set": moved})


def jobs(url: str, name: str, seconds: float, gap: float) -> None:
    """Select, then update: two of them can take one job."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as hand:
        while True:
            found = hand.execute(
                "SELECT id FROM public.jobs WHERE status = 'queued' ORDER BY priority DESC, created_at LIMIT 1"
            ).fetchone()
            if found is None:
                time.sleep(0.05)
                continue
            time.sleep(gap)
            hand.execute(
                "UPDATE public.jobs SET status = 'started', started_at = now(), worker_id = %s WHERE id = %s",
                (name, found[0]),
            )
            time.sleep(seconds)
            hand.execute(
                "UPDATE public.jobs SET status = 'finished', finished_at = now(), progress = 100 WHERE id = %s",
                (found[0],),
            )


if __name__ == "__main__":
    shape, place, me, *numbers = sys.argv[1:]
    {"tasks": tasks, "grading_jobs": grading_jobs, "jobs": jobs}[shape](place, me, *map(float, numbers))
