"""Marks from text: what OCR does to words and numbers, where an answer begins and ends, and what a person must see."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradewatch.worker.answers import answers
from gradewatch.worker.grading import RubricGrader, grade_text
from gradewatch.worker.numbers import numbers
from gradewatch.worker.rubric import Rubric
from gradewatch.worker.words import EXACT, LOOKALIKE, NEAR, find, likeness, tokens

RUBRIC = Rubric.from_dict(
    {
        "exam": "test",
        "questions": [
            {
                "id": "Q1",
                "prompt": "Explain how plants use light.",
                "keywords": ["photosynthesis", {"word": "carbon dioxide", "synonyms": ["CO2"]}, "light"],
            },
            {
                "id": "Q2",
                "number": {"value": 7.5, "tolerance": 0.05, "unit": "N", "marks": 2},
                "keywords": ["newton"],
            },
            {"id": "Q3", "partial": False, "keywords": ["carbon dioxide", "cloudy"]},
            {"id": "Q4", "marks": 1.5, "keywords": [{"word": "loft"}, {"word": "glazing"}]},
        ],
    }
)


def graded(text: str, confidence: float = 1.0) -> dict[str, dict[str, Any]]:
    return {result["question"]: result for result in grade_text(text, RUBRIC, confidence)}


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("seen", "wanted", "trust"),
    [
        ("Photosynthesis", "photosynthesis", EXACT),
        ("PHOTO-\nSYNTHESIS", "photosynthesis", EXACT),
        ("the carbondioxide goes", "carbon dioxide", EXACT),
        ("carbon\ndioxide", "carbon dioxide", EXACT),
        ("caf\u00e9s", "cafe", EXACT),
        ("e\ufb03cient", "efficient", EXACT),
        ("Stra\u00dfe", "strasse", EXACT),
        ("gIucose", "glucose", LOOKALIKE),
        ("0xygen", "oxygen", LOOKALIKE),
        ("rnitochondria", "mitochondria", LOOKALIKE),
        ("photosinthesis", "photosynthesis", NEAR),
        ("nitrite", "nitrate", NEAR),
        ("enforced", "force", 0.0),
        ("farce", "force", NEAR),
        ("for", "fog", 0.0),
        ("at p", "ATP", 0.0),
        ("A-T-P", "ATP", EXACT),
        ("7.5N", "N", EXACT),
        ("not", "N", 0.0),
        ("exothermic", "endothermic", NEAR),
        ("increase", "decrease", 0.0),
    ],
)
def test_a_keyword_is_known_through_noise_and_doubted_where_it_should_be(seen: str, wanted: str, trust: float) -> None:
    hit = find(wanted, tokens(seen), seen)
    assert (hit.trust if hit else 0.0) == trust


def test_digits_are_never_fuzzy() -> None:
    assert likeness("10001", "10000") == 0.0


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,000", [1000]),
        ("1 000", [1000]),
        ("1\u202f000", [1000]),
        ("1,234.5 or 1.234,5", [1234.5, 1234.5]),
        ("3.14 and 3,14", [3.14, 3.14]),
        ("0,125", [0.125]),
        ("1e3", [1000]),
        ("3.0 x 10^8 m/s", [3e8]),
        ("3\u00d710\u2078", [3e8]),
        ("6.6 \u00b7 10\u207b\u00b3", [6.6e-3]),
        ("\u22125", [-5]),
        ("5-3=2", [5, 3, 2]),
        ("H2O at 10 m/s2, 4 m\u207b\u00b2", [10, 4]),
        ("7.5N.", [7.5]),
        ("Q2 m^-2", []),
        ("9" * 400, []),
        ("1e999", []),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, expected: list[float]) -> None:
    assert [found.value for found in numbers(text)] == pytest.approx(expected)


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12))
def test_any_number_is_read_back(value: float) -> None:
    text = f"x = {value!r} m"
    assert [found.value for found in numbers(text)] == [value]
    assert [text[found.start : found.end] for found in numbers(text)] == [repr(value)]


@pytest.mark.parametrize(
    ("answer", "marks", "review"),
    [
        ("F = 3.0 x 2.5 = 7.5 N", 2, False),
        ("7,54", 2, False),
        ("7.56", 0, False),
        ("it is 7.5 N, and I had 9 at first", 2, False),  # the unit tells the result
        ("7.5 ... no, = 9 N", 2, True),  # right in the working, wrong at the end: a person must look
        ("", 0, False),
    ],
)
def test_a_number_counts_as_the_answer_only_where_the_answer_ends(answer: str, marks: float, review: bool) -> None:
    rubric = Rubric.from_dict(
        {"exam": "x", "questions": [{"id": "Q2", "number": RUBRIC.questions[1].number.to_dict()}]}  # type: ignore[union-attr]
    )
    result = grade_text(f"Q2 {answer}", rubric)[0]
    assert (result["marks"], result["needs_review"]) == (marks, review)


# ---------------------------------------------------------------- where an answer is


@pytest.mark.parametrize(
    "heading",
    [
        "Q1",
        "Q1.",
        "q 1:",
        "Q.1)",
        "(Q1)",
        "Question 1",
        "QUESTION 1.",
        "Questlon 1",
        "Ouestion l.",
        "QI.",
        "Q1a",
        "O1.",
    ],
)
def test_headings_are_known_through_noise(heading: str) -> None:
    found = answers(f"{heading} by photosynthesis\nQ2 x", RUBRIC)
    assert found[0].found
    assert "photosynthesis" in found[0].text


@pytest.mark.parametrize("line", ["Q10. x", "Q11 x", "Qs are x", "Quick 1 x", "1.5 x", "O2 is oxygen", "see Q1 x"])
def test_other_lines_open_no_answer(line: str) -> None:
    assert not answers(line, RUBRIC)[0].found
    assert not answers(line, RUBRIC)[1].found


def test_bare_numbers_are_headings_only_where_nothing_better_is() -> None:
    listed = answers("Q1. light\nQ4.\n1. loft\n2. glazing", RUBRIC)
    assert [answer.text for answer in listed] == ["light", "", "", "1. loft\n2. glazing"]
    bare = answers("1. light\n2) 7.5\n3: milk", RUBRIC)
    assert [answer.text for answer in bare] == ["light", "7.5", "milk", ""]


def test_answers_may_come_in_any_order_and_go_on_later() -> None:
    found = answers("Q3 cloudy\nQ1 light\nQ3 carbon dioxide", RUBRIC)
    assert found[2].text == "cloudy\ncarbon dioxide"
    assert found[0].text == "light"


def test_a_heading_of_the_rubrics_own_words() -> None:
    rubric = Rubric.from_dict(
        {"exam": "x", "questions": [{"id": "a", "headings": ["Part A", "Section One"], "keywords": ["loft"]}]}
    )
    assert answers("PART A: loft", rubric)[0].text == ": loft"
    assert answers("Sectlon 0ne loft", rubric)[0].text == "loft"
    assert not answers("Apart a loft", rubric)[0].found


def test_parts_of_a_question_are_told_apart() -> None:
    parts = [{"id": "Q1a", "keywords": ["loft"]}, {"id": "Q1b", "keywords": ["roof"]}]
    rubric = Rubric.from_dict({"exam": "x", "questions": parts})
    assert [answer.text for answer in answers("Q1a) loft\nQ1 b roof", rubric)] == ["loft", "roof"]


def test_the_printed_question_and_its_marks_earn_nothing() -> None:
    printed = "Q1. Explain how plants use\nlight. [3 marks]\nPage 1 of 2\n"
    assert graded(printed)["Q1"]["marks"] == 0
    noisy = "Q1. Explaln how plnts use light (3 marks) the light\n"
    assert graded(noisy)["Q1"]["matched"] == ["light"]
    assert graded(noisy)["Q1"]["evidence"] == "the light"


# ---------------------------------------------------------------- marks


def test_a_full_answer() -> None:
    result = graded("Q1 Photosynthesis turns CO2 into sugar with light.")["Q1"]
    assert result == {
        "question": "Q1",
        "marks": 3.0,
        "max_marks": 3.0,
        "matched": ["photosynthesis", "carbon dioxide", "light"],
        "missing": [],
        "evidence": "Photosynthesis turns CO2 into sugar with light.",
        "confidence": 1.0,
        "needs_review": False,
        "reason": "",
    }


def test_a_keyword_in_another_answer_does_not_count() -> None:
    results = graded("Q1 photosynthesis\nQ3 carbon dioxide, cloudy")
    assert results["Q1"]["missing"] == ["carbon dioxide", "light"]
    assert results["Q3"]["marks"] == 2


def test_without_partial_credit_it_is_all_or_nothing() -> None:
    assert graded("Q3 carbon dioxide")["Q3"]["marks"] == 0
    assert graded("Q3 carbon dioxide")["Q3"]["matched"] == ["carbon dioxide"]


def test_marks_are_capped_at_the_questions_own() -> None:
    assert graded("Q4 loft and glazing")["Q4"]["marks"] == 1.5


def test_a_missing_heading_a_near_word_and_a_poor_reading_need_a_person() -> None:
    missing = graded("nothing here")["Q1"]
    assert (missing["marks"], missing["needs_review"], missing["confidence"]) == (0, True, 0.0)
    assert "no heading" in missing["reason"]
    near = graded("Q1 photosinthesis, CO2, light")["Q1"]
    assert (near["marks"], near["needs_review"]) == (3, True)
    assert near["reason"] == "'photosinthesis' was taken for 'photosynthesis'"
    poor = graded("Q1 photosynthesis, CO2, light", confidence=0.5)["Q1"]
    assert (poor["marks"], poor["needs_review"]) == (3, True)
    assert "confidence of 0.50" in poor["reason"]


def test_an_empty_answer_is_sure_to_be_worth_nothing() -> None:
    empty = graded("Q1\nQ2 x")["Q1"]
    assert (empty["marks"], empty["needs_review"], empty["evidence"]) == (0, False, "")


async def test_the_grader_uses_its_own_threshold() -> None:
    text = "Q1 photosynthesis"
    [strict, *_] = await RubricGrader(review_below=0.9).grade(text, RUBRIC, 1.0)
    [lenient, *_] = await RubricGrader(review_below=0.7).grade(text, RUBRIC, 1.0)
    assert (strict["needs_review"], lenient["needs_review"]) == (True, False)


FRAGMENTS = st.sampled_from(
    ["photosynthesis", "carbon", "dioxide", "CO2", "7.5 N", "= 9", "cloudy", "loft", "photosinthesis", "\u0661", "\x00"]
)
NOISE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
WORDS = st.lists(st.one_of(FRAGMENTS, NOISE), max_size=12).map(" ".join)
# Text that opens no answer: one line that does not look like a heading.
PROSE = st.lists(FRAGMENTS, max_size=12).map(lambda words: "so " + " ".join(words))


@settings(max_examples=200)
@given(WORDS, WORDS, st.floats(0, 1))
def test_marks_stay_within_bounds_and_are_the_same_each_time(before: str, after: str, confidence: float) -> None:
    text = f"{before}\nQ1 {after}\nQ2 {before}\nQ3 {after}\nQ4 {before}"
    results = grade_text(text, RUBRIC, confidence)
    for result, question in zip(results, RUBRIC.questions, strict=True):
        assert 0 <= result["marks"] <= question.marks == result["max_marks"]
        assert 0 <= result["confidence"] <= 1
        assert sorted(result["matched"] + result["missing"]) == sorted(
            [word.word for word in question.keywords] + ([str(question.number)] if question.number else [])
        )
        assert len(result["evidence"]) <= 300
    assert grade_text(text, RUBRIC, confidence) == results


@settings(max_examples=100)
@given(PROSE, PROSE, PROSE)
def test_text_added_to_another_answer_changes_nothing_here(mine: str, theirs: str, more: str) -> None:
    before = graded(f"Q1 {mine}\nQ2 {theirs}")["Q1"]
    assert graded(f"Q1 {mine}\nQ2 {theirs}\n{more}")["Q1"] == before
    assert graded(f"Q2 {theirs} {more}\nQ1 {mine}")["Q1"] == before
