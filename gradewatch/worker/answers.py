"""Which part of a paper answers which question: headings are found at line starts, in spite of OCR noise.

Three ways of writing a heading are told apart, the surest first. A weaker way counts only where the surer ones found
nothing, so that "1." in a student's own list is no heading on a paper that says "Q1".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradewatch.worker.rubric import NUMBERED, Rubric, heading_key
from gradewatch.worker.words import SHORTEST_FUZZY, normalise, skeleton, squash, tokens, within

_NUMBER = re.compile(
    r"[^\w\n]{0,3}(?P<word>(?:[Qq]|[O0](?=[ .]?\d{1,2}[.:)])|[^\W\d_]{6,10})?)[ .:]{0,3}"
    r"(?P<number>[0-9lI|!oOzZsSB]{1,3})(?: ?(?P<part>[a-z])(?![\w]))?(?P<stop>[.:)\]]|(?=\s|$)|(?=[A-Z][a-z]))"
)
_DIGITS = str.maketrans("lI|!oOzZsSB", "11110022558")
_PRINTED = re.compile(
    r"[(\[]\s*\d{1,3}(?:[.,]\d)?\s*(?:marks?|points?|pts?)\s*[)\]]|^\s*page \d+(?: (?:of|/) ?\d+)?\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_PROMPT_LIKENESS = 0.8  # share of a prompt's words that must be seen before it is taken away

_WRITTEN, _MISREAD, _BARE = range(3)  # "Q1", "Question 1" or the rubric's words; "O1."; "1."


@dataclass(frozen=True, slots=True)
class Answer:
    """The student's words on one question. `found` is False when no heading opens it."""

    found: bool
    text: str


@dataclass(frozen=True, slots=True)
class _Heading:
    question: int
    way: int
    line: int  # where its line starts
    end: int


def answers(text: str, rubric: Rubric) -> list[Answer]:
    """One answer per question of the rubric, in its order. A heading met again goes on with the same answer."""
    headings = _trusted(list(_headings(text, rubric)))
    parts: list[list[str]] = [[] for _ in rubric.questions]
    for at, heading in enumerate(headings):
        until = headings[at + 1].line if at + 1 < len(headings) else len(text)
        prompt = rubric.questions[heading.question].prompt
        written = _without_prompt(_PRINTED.sub(" ", text[heading.end : until]), prompt)
        parts[heading.question].append(written.strip())
    return [Answer(bool(part), "\n".join(part).strip()) for part in parts]


def _trusted(headings: list[_Heading]) -> list[_Heading]:
    ways: dict[int, int] = {}
    for heading in headings:
        ways[heading.question] = min(ways.get(heading.question, _BARE), heading.way)
    written = any(way != _BARE for way in ways.values())
    return [
        heading
        for heading in headings
        if heading.way == ways[heading.question] and not (written and heading.way == _BARE)
    ]


def _headings(text: str, rubric: Rubric) -> Iterator[_Heading]:
    numbered: dict[str, int] = {}
    phrases: list[tuple[str, int]] = []
    for at, question in enumerate(rubric.questions):
        for heading in question.headings:
            if NUMBERED.fullmatch(heading.strip(" .:)(")):
                numbered[heading_key(heading)] = at
            else:
                phrases.append((squash(heading), at))
    for line in re.finditer(r"[^\n]+", text):
        start = line.start()
        found = _phrase(line.group(), phrases) or _numbered(line.group(), numbered)
        if found:
            asked, way, end = found
            yield _Heading(asked, way, start, start + end)


def _numbered(line: str, numbered: dict[str, int]) -> tuple[int, int, int] | None:
    match = _NUMBER.match(line)
    if not match:
        return None
    way = _way(match)
    number = str(int(match["number"].translate(_DIGITS)))
    if way is None:
        return None
    if match["part"] and number + match["part"] in numbered:
        return numbered[number + match["part"]], way, match.end()
    if number in numbered:
        return numbered[number], way, match.start("part") if match["part"] else match.end()
    return None


def _way(match: re.Match[str]) -> int | None:
    word, number, stop = match["word"], match["number"], match["stop"]
    if not word:
        bare = number.isdigit() and bool(stop) and not match.string[match.end() : match.end() + 1].isdigit()
        return _BARE if bare else None
    if word in "O0":
        return _MISREAD
    if not any(letter.isdigit() for letter in number) and len(number) > 1:
        return None  # "Qs", "Question So": a word, not a number
    return _WRITTEN if word in "Qq" or within(skeleton(normalise(word)), skeleton("question"), 2) else None


def _phrase(line: str, phrases: list[tuple[str, int]]) -> tuple[int, int, int] | None:
    best: tuple[int, int, int] | None = None
    for wanted, question in phrases:
        run = ""
        for token in tokens(line[: len(wanted) * 2 + 10]):
            run += token.word
            alike = run == wanted or (len(wanted) >= SHORTEST_FUZZY and skeleton(run) == skeleton(wanted))
            if alike and (best is None or token.end > best[2]):
                best = question, _WRITTEN, token.end
    return best


def _without_prompt(text: str, prompt: str) -> str:
    """The text without the printed question at its head: up to where the prompt's last word was met."""
    wanted = [skeleton(token.word) for token in tokens(prompt)]
    if not wanted:
        return text
    met, at, cut = 0, 0, 0
    for token in tokens(text)[: len(wanted) + 5]:
        word = skeleton(token.word)
        ahead = [index for index in range(at, min(at + 4, len(wanted))) if _same(word, wanted[index])]
        if ahead:
            met, at, cut = met + 1, ahead[0] + 1, token.end
    return text[cut:] if met >= _PROMPT_LIKENESS * len(wanted) else text


def _same(seen: str, wanted: str) -> bool:
    return seen == wanted or (len(wanted) >= SHORTEST_FUZZY and within(seen, wanted, 1))
