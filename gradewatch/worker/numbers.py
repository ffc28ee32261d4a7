"""Numbers as people write them: 1,000 and 1 000, 3.14 and 3,14, 1e3 and 3 × 10^8, and every kind of minus."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MINUS = str.maketrans({"−": "-", "–": "-", "‒": "-", "﹣": "-", "-": "-"})
_SPACE = "[ \u00a0\u2009\u202f]"  # the spaces that part thousands
_DIGITS = "|".join(
    (
        r"[1-9]\d{0,2}(?:,\d{3})+(?!\d)",
        r"[1-9]\d{0,2}(?:\.\d{3}){2,}(?!\d)",
        r"[1-9]\d{0,2}(?:\.\d{3})+(?=,\d)",
        rf"[1-9]\d{{0,2}}(?:{_SPACE}\d{{3}})+(?!\d)",
        r"\d+",
    )
)
_POWER = r"(?:\s?[x×*·]\s?10\s?\^\s?\(?(?P<power>-?\d{1,3})\)?|[eE](?P<exponent>[+-]?\d{1,3})(?![\w]))"
# A digit glued to a letter or a caret is a formula's or a unit's (H2O, m/s2, m^-2), never an answer.
_NUMBER = re.compile(
    rf"(?<![\w^])(?<!\d[.,])(?<![A-Za-z^]-)(?P<sign>(?<![\w)^])[-+])?(?P<whole>{_DIGITS})?(?P<part>[.,]\d+)?(?<=\d){_POWER}?",
    re.ASCII,
)
_SUPERSCRIPT = re.compile("[⁰¹²³⁴-⁹⁻]+")
_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


@dataclass(frozen=True, slots=True)
class Found:
    value: float
    start: int
    end: int


def numbers(text: str) -> list[Found]:
    """Every number in the text, in order, with its place."""
    plain, places = _unfold(text.translate(_MINUS))
    return [
        Found(value, places[match.start()], places[match.end() - 1] + 1)
        for match in _NUMBER.finditer(plain)
        if (value := _value(match)) is not None
    ]


def _unfold(text: str) -> tuple[str, list[int]]:
    """The text with 10⁸ as 10^8, and for each character its place in the original."""
    letters: list[str] = []
    places: list[int] = []
    for match in re.finditer(rf"{_SUPERSCRIPT.pattern}|.", text, re.DOTALL):
        raw = match.group()
        shown = "^" + raw.translate(_PLAIN) if _SUPERSCRIPT.fullmatch(raw) else raw
        letters.append(shown)
        places += [min(match.start() + max(at - 1, 0), match.end() - 1) for at in range(len(shown))]
    return "".join(letters), places


def _value(match: re.Match[str]) -> float | None:
    whole, part = match["whole"] or "", match["part"] or ""
    digits = re.sub(r"\D", "", whole) + part.replace(",", ".")
    power = match["power"] or match["exponent"] or "0"
    try:
        value = float(f"{match['sign'] or ''}{digits}e{power}")
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None
