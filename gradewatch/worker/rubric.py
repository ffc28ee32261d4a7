"""A rubric: what an exam asks and what earns marks. The format is documented in docs/rubric.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gradewatch.errors import RubricError
from gradewatch.worker.check import Check
from gradewatch.worker.markup import read_markup
from gradewatch.worker.words import squash

MAX_BYTES = 256 * 1024
MAX_QUESTIONS = 200
MAX_KEYWORDS = 100  # of one question
MAX_SYNONYMS = 50  # of one keyword
MAX_HEADINGS = 20
MAX_MARKS = 1000.0

NUMBERED = re.compile(r"(?:q|question)?[ .]*(\d{1,3})[ .]*([a-z]?)", re.IGNORECASE)
"""An id or heading that is a question's number: "Q1", "1", "Question 12 b"."""


def total(marks: list[float]) -> float:
    """The exact decimal sum, so that ten times 0.1 is 1."""
    return float(sum((Decimal(str(mark)) for mark in marks), Decimal(0)))


@dataclass(frozen=True, slots=True)
class Keyword:
    """A word or phrase that earns `marks` once, in this or any of its other forms."""

    word: str
    synonyms: tuple[str, ...] = ()
    marks: float = 1.0

    @property
    def forms(self) -> tuple[str, ...]:
        return (self.word, *self.synonyms)

    def to_dict(self) -> dict[str, Any]:
        return {"word": self.word, "synonyms": list(self.synonyms), "marks": self.marks}


@dataclass(frozen=True, slots=True)
class Number:
    """A numeric answer. It is right within `tolerance` (absolute) or `relative` (a share of the value), whichever is
    wider. `unit` only tells which of several numbers is meant as the answer."""

    value: float
    tolerance: float = 0.0
    relative: float = 0.0
    unit: str = ""
    marks: float = 1.0

    def accepts(self, number: float) -> bool:
        slack = max(self.tolerance, abs(self.value) * self.relative, abs(self.value) * 1e-9)
        return abs(number - self.value) <= slack

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}".strip()

    def to_dict(self) -> dict[str, Any]:
        names = ("value", "tolerance", "relative", "unit", "marks")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `headings` open its answer on the paper; `prompt` is printed text that is not the student's."""

    id: str
    label: str = ""
    prompt: str = ""
    headings: tuple[str, ...] = ()
    marks: float = 0.0
    partial: bool = True
    keywords: tuple[Keyword, ...] = ()
    number: Number | None = None

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = {name: getattr(self, name) for name in ("id", "label", "prompt", "marks", "partial")}
        plain |= {"headings": list(self.headings), "keywords": [keyword.to_dict() for keyword in self.keywords]}
        return plain | ({"number": self.number.to_dict()} if self.number else {})


@dataclass(frozen=True, slots=True)
class Rubric:
    exam: str
    questions: tuple[Question, ...]

    @property
    def marks(self) -> float:
        """The most a paper can get."""
        return total([question.marks for question in self.questions])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as they travel in a job's payload; `from_dict` gives the same rubric back."""
        return {"exam": self.exam, "questions": [question.to_dict() for question in self.questions]}

    @classmethod
    def from_dict(cls, raw: Any) -> Rubric:
        """Raises RubricError with every problem found, each with the path to it."""
        check = Check()
        rubric = _rubric(raw, check)
        if check.problems or rubric is None:
            raise RubricError(check.problems)
        return rubric

    @classmethod
    def parse(cls, source: bytes | str) -> Rubric:
        """A rubric from YAML or JSON text. Raises RubricError."""
        size = len(source if isinstance(source, bytes) else source.encode(errors="replace"))
        if size > MAX_BYTES:
            raise RubricError([f"the rubric is {size:,} bytes long; at most {MAX_BYTES:,} are read"])
        return cls.from_dict(read_markup(source))


def _rubric(raw: Any, check: Check) -> Rubric | None:
    fields = check.mapping(raw, "", allowed=("exam", "questions"), required=("exam", "questions"))
    if fields is None:
        return None
    exam = check.text(fields.get("exam", ""), "exam", longest=200)
    items = check.items(fields.get("questions", []), "questions", most=MAX_QUESTIONS)
    if "questions" in fields and isinstance(fields["questions"], list) and not items and not check.problems:
        check.add("questions", "is empty; a rubric needs at least one question")
    questions = [_question(item, f"questions[{at}]", check) for at, item in enumerate(items)]
    _unique_headings([question for question in questions if question], check)
    return Rubric(exam, tuple(question for question in questions if question))


def _question(raw: Any, path: str, check: Check) -> Question | None:
    allowed = ("id", "label", "prompt", "headings", "marks", "partial", "keywords", "number")
    fields = check.mapping(raw, path, allowed=allowed, required=("id",))
    if fields is None:
        return None
    key = check.text(fields.get("id", "?"), f"{path}.id", longest=60)
    keywords = tuple(_keywords(fields.get("keywords", []), f"{path}.keywords", check))
    number = _number(fields["number"], f"{path}.number", check) if "number" in fields else None
    if not fields.get("keywords") and "number" not in fields:
        check.add(path, "has neither keywords nor a number, so no answer could earn a mark")
    headings = check.items(fields.get("headings", []), f"{path}.headings", most=MAX_HEADINGS)
    return Question(
        id=key,
        label=check.text(fields.get("label", ""), f"{path}.label", longest=200, empty=True),
        prompt=check.text(fields.get("prompt", ""), f"{path}.prompt", longest=2000, empty=True),
        headings=tuple(_form(item, f"{path}.headings[{at}]", check) for at, item in enumerate(headings)) or (key,),
        marks=_question_marks(fields, keywords, number, path, check),
        partial=check.flag(fields.get("partial", True), f"{path}.partial"),
        keywords=keywords,
        number=number,
    )


def _question_marks(
    fields: Mapping[str, Any], keywords: tuple[Keyword, ...], number: Number | None, path: str, check: Check
) -> float:
    """The question's maximum: the sum of its parts, or less where `marks` caps it ("any two of four")."""
    reachable = total([keyword.marks for keyword in keywords] + ([number.marks] if number else []))
    if "marks" not in fields:
        return reachable
    marks = check.number(fields["marks"], f"{path}.marks", above=0.0, most=MAX_MARKS)
    if marks > reachable > 0:
        check.add(f"{path}.marks", f"is {marks:g}, but the keywords and the number add up to {reachable:g} only")
    return marks


def _keywords(raw: Any, path: str, check: Check) -> list[Keyword]:
    found: list[Keyword] = []
    seen: dict[str, str] = {}
    for at, item in enumerate(check.items(raw, path, most=MAX_KEYWORDS)):
        keyword = _keyword(item, f"{path}[{at}]", check)
        for form in keyword.forms if keyword else ():
            other = seen.setdefault(squash(form), f"{path}[{at}]")
            if other != f"{path}[{at}]":
                check.add(f"{path}[{at}]", f"{form!r} is already in {other}, so one word would earn marks twice")
        if keyword:
            found.append(keyword)
    return found


def _keyword(raw: Any, path: str, check: Check) -> Keyword | None:
    if isinstance(raw, str):
        return Keyword(_form(raw, path, check))
    fields = check.mapping(raw, path, allowed=("word", "synonyms", "marks"), required=("word",))
    if fields is None or "word" not in fields:
        return None
    synonyms = check.items(fields.get("synonyms", []), f"{path}.synonyms", most=MAX_SYNONYMS)
    return Keyword(
        word=_form(fields["word"], f"{path}.word", check),
        synonyms=tuple(_form(item, f"{path}.synonyms[{at}]", check) for at, item in enumerate(synonyms)),
        marks=check.number(fields.get("marks", 1.0), f"{path}.marks", above=0.0, most=MAX_MARKS),
    )


def _form(raw: Any, path: str, check: Check) -> str:
    before = len(check.problems)
    text = check.text(raw, path, longest=120)
    if len(check.problems) == before and not squash(text):
        check.add(path, f"{text!r} has no letter or digit to look for")
    return text


def _number(raw: Any, path: str, check: Check) -> Number | None:
    if not isinstance(raw, Mapping):
        raw = {"value": raw}
    allowed = ("value", "tolerance", "relative", "unit", "marks")
    fields = check.mapping(raw, path, allowed=allowed, required=("value",))
    if fields is None or "value" not in fields:
        return None
    return Number(
        value=check.number(fields["value"], f"{path}.value"),
        tolerance=check.number(fields.get("tolerance", 0.0), f"{path}.tolerance", least=0.0),
        relative=check.number(fields.get("relative", 0.0), f"{path}.relative", least=0.0, most=1.0),
        unit=check.text(fields.get("unit", ""), f"{path}.unit", longest=30, empty=True),
        marks=check.number(fields.get("marks", 1.0), f"{path}.marks", above=0.0, most=MAX_MARKS),
    )


def heading_key(heading: str) -> str:
    """What two headings must not share: "Q1", "1." and "Question 1" all open the same answer."""
    numbered = NUMBERED.fullmatch(heading.strip(" .:)("))
    return "".join(numbered.groups()).lower() if numbered else squash(heading)


def _unique_headings(questions: list[Question], check: Check) -> None:
    owners: dict[str, int] = {}
    for at, question in enumerate(questions):
        for heading in question.headings:
            first = owners.setdefault(heading_key(heading), at)
            if first != at:
                message = f"{heading!r} also opens the answer of questions[{first}] ({questions[first].id})"
                check.add(f"questions[{at}] ({question.id})", message)
