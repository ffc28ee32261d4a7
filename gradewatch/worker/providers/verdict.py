"""From a model's answer to marks. The model only says which items of the rubric it saw, and where; the marks are ours.

An item counts where its quote is in the paper, and, for a number, where the quote holds that number. Nothing a model
says can earn more than the rubric's marks, an item twice, or an item that the rubric does not have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradewatch.worker.answers import Answer, answers
from gradewatch.worker.grading import MAX_EVIDENCE, grade_text
from gradewatch.worker.numbers import numbers
from gradewatch.worker.providers.faults import Kind, ProviderFault
from gradewatch.worker.providers.hostile import REMOVED, hostile
from gradewatch.worker.rubric import Question, Rubric, total
from gradewatch.worker.words import tokens

SHORTEST_RUN = 8  # letters and digits from which a quote may be found across spaces that OCR put in or left out


@dataclass(frozen=True, slots=True)
class Awarded:
    item: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says of one question."""

    awarded: tuple[Awarded, ...]
    confidence: float
    suspicious: bool


def parse(content: object, rubric: Rubric) -> dict[str, Said]:
    """The model's answer by question. Raises ProviderFault (malformed) for anything but what the schema allows."""
    try:
        raw = json.loads(content if isinstance(content, str) else "")
    except (ValueError, RecursionError):
        raise _malformed("is no JSON") from None
    questions = raw.get("questions") if isinstance(raw, dict) else None
    if not isinstance(questions, list) or not all(isinstance(each, dict) for each in questions):
        raise _malformed("has no list of questions")
    ids = [each.get("question") for each in questions]
    wanted = [question.id for question in rubric.questions]
    if sorted(map(str, ids)) != sorted(wanted):
        raise _malformed("does not name each question once")
    return {str(each["question"]): _said(each) for each in questions}


def _said(raw: Mapping[str, Any]) -> Said:
    awarded, confidence, suspicious = raw.get("awarded"), raw.get("confidence"), raw.get("suspicious")
    number = isinstance(confidence, int | float) and not isinstance(confidence, bool) and math.isfinite(confidence)
    if not isinstance(awarded, list) or not number or not isinstance(suspicious, bool):
        raise _malformed("has a question in the wrong form")
    items = [(each.get("item"), each.get("evidence")) if isinstance(each, dict) else (None, None) for each in awarded]
    if not all(isinstance(item, str) and isinstance(evidence, str) for item, evidence in items):
        raise _malformed("has an award in the wrong form")
    assert isinstance(confidence, int | float)
    return Said(tuple(Awarded(str(i), str(e)) for i, e in items), min(max(float(confidence), 0.0), 1.0), suspicious)


def _malformed(what: str) -> ProviderFault:
    return ProviderFault(Kind.MALFORMED, f"the model's answer {what}")


def judge(
    said: Mapping[str, Said], text: str, rubric: Rubric, *, confidence: float, review_below: float
) -> list[dict[str, Any]]:
    """One result per question, in the form of grading.grade_text. `text` is what the model was given."""
    local = {str(result["question"]): result for result in grade_text(text, rubric, confidence, review_below)}
    paper = _Words(text)
    return [
        _question(question, answer, said[question.id], paper, local[question.id], confidence, review_below)
        for question, answer in zip(rubric.questions, answers(text, rubric), strict=True)
    ]


def _question(
    question: Question,
    answer: Answer,
    said: Said,
    paper: _Words,
    local: Mapping[str, Any],
    confidence: float,
    review_below: float,
) -> dict[str, Any]:
    worth = _items(question)
    own = _Words(answer.text)
    earned: dict[str, str] = {}
    doubts: list[str] = []
    for award in said.awarded:
        if award.item not in worth:
            doubts.append(f"the model named {award.item[:60]!r}, which this question does not have")
        elif award.item not in earned:
            doubt = _doubt(question, award, own, paper)
            if doubt is None or doubt.startswith(ELSEWHERE):
                earned[award.item] = award.evidence
            if doubt:
                doubts.append(doubt)
    marks = _marks(question, [worth[item] for item in earned])
    if said.suspicious or REMOVED in answer.text:
        doubts.insert(0, "the answer speaks to the grader: look at the paper itself")
    if said.suspicious and marks > local["marks"]:
        marks = local["marks"]  # what the model saw there may have swayed it: only what the rubric's words prove
    trust = round(said.confidence * confidence, 3)
    if trust < review_below:
        doubts.append(f"the confidence is {trust:.2f} only")
    return {
        "question": question.id,
        "marks": marks,
        "max_marks": question.marks,
        "matched": list(earned),
        "missing": [item for item in worth if item not in earned],
        "evidence": _evidence(earned, answer),
        "confidence": trust,
        "needs_review": bool(doubts),
        "reason": "; ".join(doubts),
    }


ELSEWHERE = "the quote for"


def _doubt(question: Question, award: Awarded, own: _Words, paper: _Words) -> str | None:
    """Why an award is not beyond doubt. One that starts with ELSEWHERE still counts."""
    name = repr(award.item[:60])
    if hostile(award.evidence) or REMOVED in award.evidence:
        return f"what was quoted for {name} speaks to the grader"
    if not paper.hold(award.evidence):
        return f"what was quoted for {name} is not on the paper"
    number = question.number if question.number and award.item == str(question.number) else None
    if number and not any(number.accepts(seen.value) for seen in numbers(award.evidence)):
        return f"what was quoted for {name} is another number"
    return None if own.hold(award.evidence) else f"{ELSEWHERE} {name} stands outside this answer"


def _items(question: Question) -> dict[str, float]:
    number = {str(question.number): question.number.marks} if question.number else {}
    return {keyword.word: keyword.marks for keyword in question.keywords} | number


def _marks(question: Question, earned: Sequence[float]) -> float:
    marks = min(total(list(earned)), question.marks)
    return marks if question.partial or marks >= question.marks else 0.0


def _evidence(earned: Mapping[str, str], answer: Answer) -> str:
    shown = " … ".join(dict.fromkeys(" ".join(quote.split()) for quote in earned.values()))
    shown = shown or " ".join(answer.text.split())
    return shown if len(shown) <= MAX_EVIDENCE else shown[: MAX_EVIDENCE - 1] + "…"


class _Words:
    """A text reduced to its words, so that a quote is found in spite of case, accents, punctuation and line ends."""

    def __init__(self, text: str) -> None:
        words = [token.word for token in tokens(text)]
        self._spaced = f" {' '.join(words)} "
        self._run = "".join(words)

    def hold(self, quote: str) -> bool:
        words = [token.word for token in tokens(quote)]
        run = "".join(words)
        return bool(words) and (
            f" {' '.join(words)} " in self._spaced or (len(run) >= SHORTEST_RUN and run in self._run)
        )
