"""One job as its page shows it: each of its papers by name, those to come included; nothing else of its payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradewatch.http import wire
from gradewatch.http.page.lookup import JobLookup, job_line
from gradewatch.http.page.timeline import moments
from gradewatch.http.page.words import short
from gradewatch.model import Job, PaperResult

MAX_PAPERS = 1000


def job_view(found: JobLookup) -> dict[str, Any]:
    done = {paper.index: paper for paper in found.papers}
    names = _names(found.job)
    total = max(len(names), found.job.progress_total, max(done, default=-1) + 1)
    return {
        "job": job_line(found.job),
        "papers": [_paper(at, done.get(at), names) for at in range(min(total, MAX_PAPERS))],
        "papers_total": total,
        "timeline": moments([], found.audit),
    }


def _names(job: Job) -> list[str]:
    """Of the papers in the payload, where it has the form of a grading job's."""
    papers = job.payload.get("papers")
    if not isinstance(papers, list | tuple):
        return []
    return [str(one.get("name", "")) if isinstance(one, Mapping) else "" for one in papers]


def _paper(index: int, paper: PaperResult | None, names: list[str]) -> dict[str, Any]:
    if paper is None:
        name = names[index] if index < len(names) else ""
        return {
            "index": index,
            "name": short(name),
            "status": "waiting",
            "marks": None,
            "max_marks": None,
            "error": None,
        }
    return {
        "index": index,
        "name": short(paper.name),
        "status": short(paper.status),
        "marks": wire.plain(paper.marks),
        "max_marks": wire.plain(paper.max_marks),
        "error": short(paper.error.message) if paper.error else None,
    }
