"""Marks for a paper's text by a rubric. A doubtful mark is given and shown to a person, never given in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradewatch.worker.answers import Answer, answers
from gradewatch.worker.numbers import Found, numbers
from gradewatch.worker.rubric import Number, Question, Rubric, total
from gradewatch.worker.words import EXACT, LOOKALIKE, find, squash, tokens

REVIEW_BELOW = 0.6
ABSENT = 0.8  # something expected was not found: it may have been said in words the rubric does not know
BLANK = 0.9  # the heading is there, and nothing after it
IN_WORKING = 0.5  # the right number stands in the working, but is not what the answer ends with

MAX_ANSWER = 40_000  # characters of one answer that are read
MAX_EVIDENCE = 300
_AROUND = 50  # characters of context on either side of a hit


@dataclass(frozen=True, slots=True)
class _Credit:
    """One part of a question that was found."""

    name: str
    marks: float
    trust: float
    start: int
    end: int
    doubt: str = ""


class RubricGrader:
    """The grading port by keywords and numbers alone; needs no network and no key."""

    name = "rubric"

    def __init__(self, review_below: float = REVIEW_BELOW) -> None:
        self.review_below = review_below

    async def grade(self, text: str, rubric: Rubric, confidence: float) -> Sequence[Mapping[str, Any]]:
        return await asyncio.to_thread(grade_text, text, rubric, confidence, self.review_below)


def grade_text(
    text: str, rubric: Rubric, confidence: float = 1.0, review_below: float = REVIEW_BELOW
) -> list[dict[str, Any]]:
    """One result per question, in the rubric's order. Pure: the same text and rubric give the same marks.

    `confidence` (0..1) is that of the reading, and scales the confidence of every question. Each result has
    `question`, `marks` and `max_marks`, `matched` and `missing` (the rubric's words), `evidence` (the student's words
    that earned the marks, or the head of the answer), `confidence` (0..1), `needs_review` and, if so, the `reason`.
    """
    confidence = min(max(confidence, 0.0), 1.0)
    graded = zip(rubric.questions, answers(text, rubric), strict=True)
    return [_question(question, answer, confidence, review_below) for question, answer in graded]


def _question(question: Question, answer: Answer, confidence: float, review_below: float) -> dict[str, Any]:
    text = answer.text[:MAX_ANSWER]
    credits = _credits(question, text)
    marks = min(total([credit.marks for credit in credits]), question.marks)
    if not question.partial and marks < question.marks:
        marks = 0.0
    trust, reason = _trust(question, answer, credits, marks)
    matched = [credit.name for credit in credits]
    return {
        "question": question.id,
        "marks": marks,
        "max_marks": question.marks,
        "matched": matched,
        "missing": [name for name in _expected(question) if name not in matched],
        "evidence": _evidence(text, credits),
        "confidence": round(trust * confidence, 3),
        "needs_review": trust * confidence < review_below,
        "reason": _reason(trust, confidence, reason, review_below),
    }


def _credits(question: Question, text: str) -> list[_Credit]:
    words = tokens(text)
    found: list[_Credit] = []
    for keyword in question.keywords:
        hits = [hit for form in keyword.forms if (hit := find(form, words, text))]
        if hits:
            best = max(hits, key=lambda hit: hit.trust)
            seen = text[best.start : best.end]
            doubt = f"{seen!r} was taken for {keyword.word!r}" if best.trust < LOOKALIKE else ""
            found.append(_Credit(keyword.word, keyword.marks, best.trust, best.start, best.end, doubt))
    if question.number and (credit := _number(question.number, text)):
        found.append(credit)
    return found


def _number(number: Number, text: str) -> _Credit | None:
    """The answer's last word on the number, if right; else a right number in the working, to be looked at."""
    seen = numbers(text)
    right = [each for each in seen if number.accepts(each.value)]
    if not right:
        return None
    final = _final(seen, number.unit, text)
    if final in right:
        return _Credit(str(number), number.marks, EXACT, final.start, final.end)
    doubt = f"the answer ends with {text[final.start : final.end]}; {number} stands before it"
    return _Credit(str(number), number.marks, IN_WORKING, right[-1].start, right[-1].end, doubt)


def _final(seen: Sequence[Found], unit: str, text: str) -> Found:
    """What the student means as the result: the last number with the unit, else the last after "=", else the last."""
    with_unit = [each for each in seen if _begins_with(text[each.end : each.end + 40], squash(unit))]
    after_equals = [each for each in seen if text[: each.start].rstrip(" -+").endswith("=")]
    return (with_unit or after_equals or seen)[-1]


def _begins_with(text: str, unit: str) -> bool:
    run = ""
    for token in tokens(text):
        run += token.word
        if run == unit:
            return True
    return False


def _trust(question: Question, answer: Answer, credits: Sequence[_Credit], marks: float) -> tuple[float, str]:
    if not answer.found:
        return 0.0, "no heading of this question was found on the paper"
    if not answer.text.strip():
        return BLANK, ""
    least = min(credits, key=lambda credit: credit.trust, default=None)
    trust = least.trust if least else EXACT
    if marks < question.marks:
        trust = min(trust, ABSENT)
    return trust, least.doubt if least else ""


def _reason(trust: float, confidence: float, reason: str, review_below: float) -> str:
    if trust * confidence >= review_below:
        return ""
    return reason or f"the paper was read with a confidence of {confidence:.2f} only"


def _expected(question: Question) -> list[str]:
    return [keyword.word for keyword in question.keywords] + ([str(question.number)] if question.number else [])


def _evidence(text: str, credits: Sequence[_Credit]) -> str:
    """The student's words around each hit, overlapping ones joined; or the head of the answer."""
    pieces: list[tuple[int, int]] = []
    for credit in sorted(credits, key=lambda credit: credit.start):
        start, end = max(credit.start - _AROUND, 0), credit.end + _AROUND
        if pieces and start <= pieces[-1][1]:
            pieces[-1] = pieces[-1][0], max(end, pieces[-1][1])
        else:
            pieces.append((start, end))
    shown = " … ".join(" ".join(text[start:end].split()) for start, end in pieces or [(0, MAX_EVIDENCE)])
    return shown if len(shown) <= MAX_EVIDENCE else shown[: MAX_EVIDENCE - 1] + "…"
