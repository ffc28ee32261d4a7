"""The payload of a grading job: which papers, by which rubric."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradewatch.errors import PayloadError, RubricError
from gradewatch.model import PaperRef
from gradewatch.worker.check import Check
from gradewatch.worker.rubric import Rubric

GRADE = "grade"
"""The kind of job that this payload belongs to."""

MAX_PAPERS = 1000

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class GradePayload:
    papers: tuple[PaperRef, ...]
    rubric: Rubric

    @classmethod
    def parse(cls, payload: Any) -> GradePayload:
        """Raises PayloadError that names every problem found, one a line."""
        check = Check()
        fields = check.mapping(payload, "", allowed=("papers", "rubric"), required=("papers", "rubric")) or {}
        papers = check.items(fields.get("papers", ()), "papers", most=MAX_PAPERS)
        if "papers" in fields and not fields["papers"] and fields["papers"] in ([], ()):
            check.add("papers", "is empty; a grading job needs at least one paper")
        refs = tuple(_paper(raw, f"papers[{at}]", check) for at, raw in enumerate(papers))
        rubric = None
        if "rubric" in fields:
            try:
                rubric = Rubric.from_dict(fields["rubric"])
            except RubricError as fault:
                for problem in fault.problems:
                    check.add("rubric", problem)
        if check.problems or rubric is None:
            raise PayloadError("\n".join(check.problems))
        return cls(refs, rubric)


def build_payload(papers: Sequence[PaperRef], rubric: Rubric) -> dict[str, Any]:
    """The payload to submit. Raises PayloadError when a worker could not run it."""
    plain = [{"name": paper.name, "sha256": paper.sha256, "size": paper.size} for paper in papers]
    payload = {"papers": plain, "rubric": rubric.to_dict()}
    GradePayload.parse(payload)
    return payload


def _paper(raw: Any, path: str, check: Check) -> PaperRef:
    names = ("name", "sha256", "size")
    fields: Mapping[str, Any] = check.mapping(raw, path, allowed=names, required=names) or {}
    sha256 = check.text(fields.get("sha256", "0" * 64), f"{path}.sha256", longest=64)
    if not _SHA256.fullmatch(sha256):
        check.add(f"{path}.sha256", "must be the 64 lower-case hex digits of the file's SHA-256")
    return PaperRef(
        name=check.text(fields.get("name", "?"), f"{path}.name", longest=255),
        sha256=sha256,
        size=int(check.number(fields.get("size", 0), f"{path}.size", least=0.0)),
    )
