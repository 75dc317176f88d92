"""Whether an answer holds the facts that a right one holds.

A fact is a number or a text, and a text can be a date (2027-02-28), a time of day (03:54, 08:30 PM), a length of time
(18 h 49 min) or an offset from UTC (+05:30): those count in whatever form they are usually written, everything else as
whole words. What an answer says about a fact is not understood: one that denies it holds it as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Final

from dateutil.parser import parse  # type: ignore[import-untyped,unused-ignore]

Fact = str | float


_SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_MONTH: Final = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\b\.?)"
)
_DAY: Final = r"\d{1,2}(?:st|nd|rd|th)?"
_DATE: Final = re.compile(
    rf"(?<!\w)(?:{_DAY}(?: of)? {_MONTH}|{_MONTH} {_DAY}\b)(?:,? \d{{4}}\b)?"
    r"|(?<![\w-])\d{4}-\d\d-\d\d(?![\d-])"
    r"|(?<![\w./-])\d{1,2}([./])\d{1,2}\1\d{4}\b"
)
_HALF: Final = r"(?P<half> ?(?:[ap]m\b|[ap]\.m\.)| in the (?:morning|afternoon|evening))"
_TIME: Final = re.compile(
    # Also behind a date, where a T stands between them.
    rf"(?:(?<=\dt)|(?<![\w:+−.]))(?:(?P<hour>\d{{1,2}}):(?P<minute>\d\d)(?::\d\d(?:\.\d+)?)?(?![\d:]){_HALF}?"
    rf"|(?P<hour_to>\d{{1,2}}){_HALF.replace('half', 'its_half')})"
)
_LENGTH: Final = re.compile(r"(?<![\w.])(\d+) ?h(?:ours?|rs?)?,?(?: and)? ?(\d+) ?m(?:in(?:ute)?s?)?\b")
_OFFSET: Final = re.compile(r"(?<!\d)([+−-])(\d{1,2}):?(\d\d)\b")
_NUMBER: Final = re.compile(
    # No part of a word or of another number, of a range or of a code, and no ordinal.
    r"(?<![\w.])(?<!\w[-–/:])[+−-]?(?:\d{1,3}(?:[,'’]\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[+-]?\d+)?"
    r"(?!\d|\.\d|[-–/:]\d|[,'’]\d{3}(?!\d)|(?:st|nd|rd|th)\b)"
)
_WORD: Final = re.compile(
    rf"(?<![\w-])(?:{'|'.join(_SMALL)})(?![\w-]| (?:hundred|thousand|million|and a half|point)\b)"
)
# What a number that was computed may be off by and still be a whole one.
_NOISE: Final = 1e-6


def missing_facts(answer: str | None, facts: Sequence[Fact]) -> list[Fact]:
    """The facts that an answer does not hold; all of them where there is no answer."""
    return [fact for fact in facts if answer is None or not states(answer, fact)]


def states(answer: str, fact: Fact) -> bool:
    """Whether a fact stands in an answer."""
    text = _plain(answer)
    if not isinstance(fact, str):
        return any(rounds_to(number, fact) for number in _numbers(text))
    wanted = _plain(fact)
    for form, meaning in _FORMS:
        if one := form.fullmatch(wanted):
            return any(meaning(match) == meaning(one) for match in form.finditer(text))
    return has_words(text, wanted)


def rounds_to(number: float, fact: float) -> bool:
    """Whether a number is a fact when it is rounded to the digits that the fact shows; a whole one is exact."""
    digits = len(str(fact).partition(".")[2])
    return round(number, digits) == fact if digits else abs(number - fact) < _NOISE


def has_words(text: str, words: str) -> bool:
    """Whether a text holds others as whole words, and a number in them as a whole number."""
    pattern = rf"(?<!\w){re.escape(words)}(?!\w)"
    if words[:1].isdigit():
        pattern = rf"(?<!\d[.,]){pattern}"
    return bool(re.search(pattern + (r"(?![.,]\d)" if words[-1:].isdigit() else ""), text))


def _plain(text: str) -> str:
    """In small letters, without emphasis, with single spaces; one that divides thousands is a comma."""
    divided = re.sub(r"(?<=\d)[\u00a0\u202f](?=\d{3}(?!\d))", ",", text)
    return " ".join(re.sub(r"[*`]|\b_+|_+\b", "", divided).casefold().split())


def _numbers(text: str) -> Iterator[float]:
    """The numbers that are no part of a date or a time."""
    for form in (_DATE, _TIME, _LENGTH):
        text = form.sub(" ; ", text)
    for match in _NUMBER.finditer(text):
        yield float(re.sub("[,'’]", "", match.group()).replace("−", "-"))
    yield from (_SMALL.index(match.group()) for match in _WORD.finditer(text))


def _date(match: re.Match[str]) -> date | None:
    """None without a year, where it is open which part is the day, and for a day that no month has."""
    text = match.group()
    try:
        if re.match(r"\d{4}", text):
            return date.fromisoformat(text)
        # What is not said is taken from the default, so a date that lacks a part changes with it.
        known = {
            parse(text, dayfirst=dayfirst, default=datetime(year, 1, 1)).date()
            for dayfirst in (True, False)
            for year in (2000, 2004)
        }
    except (ValueError, OverflowError):
        return None
    return known.pop() if len(known) == 1 else None


def _time(match: re.Match[str]) -> tuple[int, int]:
    """Hour and minute of the day."""
    half = (match["half"] or match["its_half"] or "").strip()
    hour, minute = int(match["hour"] or match["hour_to"]), int(match["minute"] or 0)
    if half.startswith(("p", "in the a", "in the e")):
        return hour % 12 + 12, minute
    return (hour % 12 if half else hour), minute


def _length(match: re.Match[str]) -> int:
    """Minutes."""
    return 60 * int(match[1]) + int(match[2])


def _offset(match: re.Match[str]) -> int:
    """Minutes, negative to the west."""
    return (60 * int(match[2]) + int(match[3])) * (1 if match[1] == "+" else -1)


_FORMS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], object]], ...]] = (
    (_DATE, _date),
    (_TIME, _time),
    (_LENGTH, _length),
    (_OFFSET, _offset),
)
