"""Check whether an answer contains the expected facts.

A fact is a number or a text. A text can be a date (2027-02-28), a time of day (03:54, 08:30 PM), a duration
(18 h 49 min) or a UTC offset (+05:30), which match in any usual notation; other texts match as complete words. The
meaning of the answer is not considered: an answer that denies a fact contains it too.
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
    # Also after a date and a T.
    rf"(?:(?<=\dt)|(?<![\w:+−.]))(?:(?P<hour>\d{{1,2}}):(?P<minute>\d\d)(?::\d\d(?:\.\d+)?)?(?![\d:]){_HALF}?"
    rf"|(?P<hour_to>\d{{1,2}}){_HALF.replace('half', 'its_half')})"
)
_LENGTH: Final = re.compile(r"(?<![\w.])(\d+) ?h(?:ours?|rs?)?,?(?: and)? ?(\d+) ?m(?:in(?:ute)?s?)?\b")
_OFFSET: Final = re.compile(r"(?<!\d)([+−-])(\d{1,2}):?(\d\d)\b")
_NUMBER: Final = re.compile(
    # Not a part of a word, another number, a range or a code, and not an ordinal.
    r"(?<![\w.])(?<!\w[-–/:])[+−-]?(?:\d{1,3}(?:[,'’]\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[+-]?\d+)?"
    r"(?!\d|\.\d|[-–/:]\d|[,'’]\d{3}(?!\d)|(?:st|nd|rd|th)\b)"
)
_WORD: Final = re.compile(
    rf"(?<![\w-])(?:{'|'.join(_SMALL)})(?![\w-]| (?:hundred|thousand|million|and a half|point)\b)"
)
# The maximum error of a computed number that counts as an integer.
_NOISE: Final = 1e-6


def missing_facts(answer: str | None, facts: Sequence[Fact]) -> list[Fact]:
    """The facts that an answer does not contain; all of them without an answer."""
    return [fact for fact in facts if answer is None or not states(answer, fact)]


def states(answer: str, fact: Fact) -> bool:
    """Whether an answer contains a fact."""
    text = _plain(answer)
    if not isinstance(fact, str):
        return any(rounds_to(number, fact) for number in _numbers(text))
    expected = _plain(fact)
    for form, meaning in _FORMS:
        if one := form.fullmatch(expected):
            return any(meaning(match) == meaning(one) for match in form.finditer(text))
    return has_words(text, expected)


def rounds_to(number: float, fact: float) -> bool:
    """Whether a number equals a fact when rounded to the fact's digits; integers must be exact."""
    digits = len(str(fact).partition(".")[2])
    return round(number, digits) == fact if digits else abs(number - fact) < _NOISE


def has_words(text: str, words: str) -> bool:
    """Whether a text contains another as complete words and numbers."""
    pattern = rf"(?<!\w){re.escape(words)}(?!\w)"
    if words[:1].isdigit():
        pattern = rf"(?<!\d[.,]){pattern}"
    return bool(re.search(pattern + (r"(?![.,]\d)" if words[-1:].isdigit() else ""), text))


def _plain(text: str) -> str:
    """The text in lower case, without emphasis, with single spaces; a space between thousands becomes a comma."""
    divided = re.sub(r"(?<=\d)[\u00a0\u202f](?=\d{3}(?!\d))", ",", text)
    return " ".join(re.sub(r"[*`]|\b_+|_+\b", "", divided).casefold().split())


def _numbers(text: str) -> Iterator[float]:
    """The numbers that are not part of a date or a time."""
    for form in (_DATE, _TIME, _LENGTH):
        text = form.sub(" ; ", text)
    for match in _NUMBER.finditer(text):
        yield float(re.sub("[,'’]", "", match.group()).replace("−", "-"))
    yield from (_SMALL.index(match.group()) for match in _WORD.finditer(text))


def _date(match: re.Match[str]) -> date | None:
    """A date; None without a year, if day and month are ambiguous, or for an invalid day."""
    text = match.group()
    try:
        if re.match(r"\d{4}", text):
            return date.fromisoformat(text)
        # Missing parts come from the default, so an incomplete date changes with it.
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
