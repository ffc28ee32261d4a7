"""Rubrics: what is read, what is refused, and that every problem is named with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gradewatch.errors import RubricError
from gradewatch.worker.rubric import MAX_BYTES, Rubric

FULL = """
exam: Physics, week 12
questions:
  - id: 1
    label: Force
    prompt: Calculate the force.
    headings: [Q1, "1)"]
    number: {value: 7.5, tolerance: 0.1, relative: 0.02, unit: N, marks: 2}
    keywords: [newton]
  - id: Q2
    marks: 2
    partial: false
    keywords:
      - {word: photosynthesis, marks: 1.5}
      - {word: carbon dioxide, synonyms: [CO2]}
"""


def problems(source: str | bytes) -> list[str]:
    with pytest.raises(RubricError) as refused:
        Rubric.parse(source)
    return list(refused.value.problems)


def question(**fields: Any) -> str:
    return json.dumps({"exam": "x", "questions": [{"id": "Q1", "keywords": ["alpha"], **fields}]})


def test_reads_yaml_and_totals_the_marks() -> None:
    rubric = Rubric.parse(FULL)
    first, second = rubric.questions
    assert (first.id, first.label, first.headings, first.marks) == ("1", "Force", ("Q1", "1)"), 3.0)
    assert first.number is not None
    assert str(first.number) == "7.5 N"
    assert (second.headings, second.marks, second.partial) == (("Q2",), 2.0, False)
    assert second.keywords[1].forms == ("carbon dioxide", "CO2")
    assert rubric.marks == 5.0


def test_json_and_a_round_trip_give_the_same_rubric() -> None:
    rubric = Rubric.parse(FULL.encode())
    travelled = json.dumps(rubric.to_dict())
    assert Rubric.parse(travelled) == rubric
    assert Rubric.from_dict(json.loads(travelled)) == rubric


def test_totals_are_exact() -> None:
    keywords = [{"word": f"word{at}", "marks": 0.1} for at in range(10)]
    assert Rubric.parse(question(keywords=keywords)).marks == 1.0


def test_every_problem_is_named_at_once() -> None:
    found = problems(
        """
exam: ""
titel: x
questions:
  - id: Q1
    keywrods: [a]
    marks: many
  - id: Q1
    keywords: [{word: true, synonims: [x], marks: -1}, "?!"]
    number: {tolerance: 1}
"""
    )
    for expected in (
        "exam: must not be empty",
        r"unknown key 'titel'; known keys: exam, questions",
        r"questions\[0\]: unknown key 'keywrods'; did you mean 'keywords'\?",
        r"questions\[0\]: has neither keywords nor a number",
        r"questions\[0\].marks: must be a number, not the text 'many'",
        r"questions\[1\].keywords\[0\]: unknown key 'synonims'; did you mean 'synonyms'\?",
        r"questions\[1\].keywords\[0\].word: must be text, not the truth value true; put it in quotes",
        r"questions\[1\].keywords\[0\].marks: must be more than 0, not -1",
        r"questions\[1\].keywords\[1\]: '\?!' has no letter or digit",
        r"questions\[1\].number: lacks 'value'",
        r"questions\[1\] \(Q1\): 'Q1' also opens the answer of questions\[0\]",
    ):
        assert any(re.search(expected, problem) for problem in found), (expected, found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", "is empty"),
        (b"\xff\xfe\x00", "not UTF-8"),
        ("exam: [unclosed", "line 1: not YAML"),
        ("\x00", "not YAML"),
        ('{"exam": }', "line 1: not JSON"),
        ('{"exam": "a", "exam": "b"}', "'exam' is said twice"),
        ("exam: a\nexam: b", "line 2: the key 'exam' is said twice"),
        ("? {a: 1}\n: b", "not YAML"),
        ("- a", "must be a mapping"),
        ("a: &x [1]\nb: *x", "line 1: anchors and aliases"),
        ("!!python/object/apply:os.system [ls]", "not YAML"),
        ("when: 2026-02-31", "not YAML"),
        ("[" * 5000 + "]" * 5000, "nested more than 20"),
        ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "nested more than 20"),
        ("x" * (MAX_BYTES + 1), "at most 262,144"),
        ("exam: x\nquestions: []", "questions: is empty"),
        ("exam: x\nquestions: {a: b}", "questions: must be a list"),
        ("exam: x\nquestions: [1]", "questions[0]: must be a mapping"),
        ('{"exam": "x", "questions": [{"id": "Q1", "number": NaN}]}', "must be a number"),
        (question(marks=5), "questions[0].marks: is 5, but the keywords and the number add up to 1 only"),
        (question(keywords=["cell", "Cell"]), "'Cell' is already in questions[0].keywords[0]"),
        (question(partial="no"), "questions[0].partial: must be true or false"),
        (question(prompt="x" * 2001), "questions[0].prompt: is 2,001 characters long"),
        (question(number={"value": 1, "relative": 2}), "questions[0].number.relative: must be at most 1"),
    ],
)
def test_refuses_what_cannot_be_used(source: str | bytes, expected: str) -> None:
    assert expected in "\n".join(problems(source))


def test_ten_thousand_questions_are_refused_in_one_line() -> None:
    raw = {"exam": "x", "questions": [{"id": f"Q{at}", "keywords": ["a"]} for at in range(10_000)]}
    with pytest.raises(RubricError) as refused:
        Rubric.from_dict(raw)
    assert refused.value.problems == ("questions: has 10,000 entries; at most 200 are read",)


def test_ten_megabytes_are_refused_unread() -> None:
    assert problems(b"a: b\n" * 2_000_000) == ["the rubric is 10,000,000 bytes long; at most 262,144 are read"]


@pytest.mark.parametrize("raw", [None, 1, "x", [], {"exam": None, "questions": None}, {1: 2}])
def test_any_shape_from_a_payload_is_refused_as_a_rubric_error(raw: Any) -> None:
    with pytest.raises(RubricError):
        Rubric.from_dict(raw)


def test_the_worked_example_in_the_docs_is_a_rubric() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rubric.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        assert Rubric.parse(example).marks > 0
