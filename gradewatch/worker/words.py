"""Words of a paper, and whether one of them is a given keyword in spite of what OCR did to it.

A match has a grade of trust: the same word; the same but for letters that look alike to OCR (rn and m, l and 1);
or a word a few edits away, which may be a misspelling and may be another word (nitrate, nitrite), so that it is
never trusted without a person.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

EXACT = 1.0
LOOKALIKE = 0.85
NEAR = 0.55

SHORTEST_FUZZY = 5  # shorter words turn into other words with one edit: force, form, for
SHORTEST_JOINED = 8  # from here on a space that OCR put in or left out is forgiven

_TOKEN = re.compile(r"\d+|[^\W\d_][^\W_]*")
_LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ı": "i"})
_LOOKALIKE_PAIRS = (("rn", "m"), ("cl", "d"), ("vv", "w"))
_LOOKALIKES = str.maketrans({"1": "l", "i": "l", "0": "o", "5": "s", "8": "b", "2": "z", "9": "g", "q": "g", "c": "e"})


@dataclass(frozen=True, slots=True)
class Token:
    """One word as normalised, and where it stands in the text it came from."""

    word: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Hit:
    trust: float
    start: int
    end: int


def normalise(text: str) -> str:
    """Case, accents, ligatures and width folded away."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).translate(_LETTERS)


def tokens(text: str) -> list[Token]:
    return [
        Token(word, match.start(), match.end())
        for match in _TOKEN.finditer(text)
        if (word := "".join(_TOKEN.findall(normalise(match.group()))))
    ]


@lru_cache(maxsize=4096)
def squash(phrase: str) -> str:
    """A keyword without its spaces and punctuation: what runs of tokens are compared with."""
    return "".join(token.word for token in tokens(phrase))


def find(phrase: str, words: Sequence[Token], text: str) -> Hit | None:
    """The most trusted place where `phrase` stands among the words; the first of equals."""
    wanted = squash(phrase)
    count = len(tokens(phrase))
    best: Hit | None = None
    verdicts: dict[str, float] = {}
    for at in range(len(words)):
        for run, end in _runs(words, at, wanted, count, text):
            trust = verdicts.get(run)
            if trust is None:
                trust = verdicts[run] = likeness(run, wanted)
            if trust > (best.trust if best else 0.0):
                best = Hit(trust, words[at].start, words[end].end)
    return best


def _runs(words: Sequence[Token], at: int, wanted: str, count: int, text: str) -> list[tuple[str, int]]:
    """Runs of tokens starting at `at` that could be the keyword: as many as it has words, or more or fewer where only
    a space or nothing parts them."""
    found: list[tuple[str, int]] = []
    run = ""
    for end in range(at, min(at + count + 2, len(words))):
        run += words[end].word
        if len(run) > len(wanted) + 2:
            break
        parted = any(character.isspace() for character in text[words[at].start : words[end].end])
        if end - at + 1 == count or not parted or len(wanted) >= SHORTEST_JOINED:
            found.append((run, end))
    return found


def likeness(run: str, wanted: str) -> float:
    """How far `run` can be trusted to be the keyword `wanted`: EXACT, LOOKALIKE, NEAR or 0."""
    if run == wanted or (len(wanted) >= 3 and run in (wanted + "s", wanted + "es")):
        return EXACT
    if len(wanted) < SHORTEST_FUZZY or wanted.isdigit():
        return 0.0
    seen, meant = skeleton(run), skeleton(wanted)
    if seen == meant:
        return LOOKALIKE
    allowed = 1 if len(wanted) < 9 else 2
    return NEAR if within(seen, meant, allowed) else 0.0


@lru_cache(maxsize=16384)
def skeleton(word: str) -> str:
    """The word with every letter replaced by one that stands for all that OCR takes it for."""
    for pair, single in _LOOKALIKE_PAIRS:
        word = word.replace(pair, single)
    return word.translate(_LOOKALIKES)


def within(one: str, other: str, most: int) -> bool:
    """Whether at most `most` insertions, deletions and substitutions part the two (Levenshtein)."""
    if abs(len(one) - len(other)) > most:
        return False
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        above, row = row, [at]
        for to, wanted in enumerate(other, 1):
            row.append(min(row[-1] + 1, above[to] + 1, above[to - 1] + (letter != wanted)))
        if min(row) > most:
            return False
    return row[-1] <= most
