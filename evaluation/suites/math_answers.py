r"""Answers of MATH: where they stand in a text, and when two of them are the same formula.

Source: `last_boxed_only_string` of modeling/dataset/util.py and `is_equiv` of modeling/math_equivalence.py in
hendrycks/math. A reference's answer is in its last `\boxed{...}`. Two answers are equal when their texts are, after the
rules of `normal`; they are no algebra: `x+1` and `1+x` differ, so do `0.25` and `1/4`.

Odd:

- a text that a rule cannot be applied to (two units, a `\frac` or `\sqrt` at its end) is compared as it is;
- only half is known as a decimal (`0.5`), only whole numbers as `a/b`;
- what stands before a single `=` is dropped where it is one or two characters, whatever they are.

The published programs ask for a `\boxed{...}` and count every other answer as wrong. Models that were not told of it
write a formula between dollar signs, or nothing else: `answer_of` reads these as well.
"""

from __future__ import annotations

import re
from typing import Final

_BOXES: Final = (r"\boxed", r"\fbox")
_FORMULA: Final = re.compile(r"(?<!\\)\$\$?(?P<formula>.+?)(?<!\\)\$", re.DOTALL)
_DROPPED: Final = (r"\left", r"\right", r"^{\circ}", r"^\circ", r"\$")
_UNIT: Final = r"\text{ "
_RATIO: Final = re.compile(r"(?P<top>0|-?[1-9][0-9]*)/(?P<bottom>0|-?[1-9][0-9]*)")


class _NotNormal(ValueError):
    """A rule cannot be applied."""


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{...}` holds, or, without any, the last `\fbox{...}`; None where there is none."""
    for box in _BOXES:
        start = text.rfind(box)
        if start >= 0:
            return _braced(text[start + len(box) :])
    return None


def answer_of(text: str) -> str:
    """The answer in a text: in its last box, else in its last formula, else the text itself without its full stop."""
    found = boxed(text)
    if found is not None:
        return found
    formulas = [match["formula"] for match in _FORMULA.finditer(text)]
    return formulas[-1] if formulas else text.strip().removesuffix(".")


def is_right(answer: str | None, expected: str) -> bool:
    """Whether the answer in a text is the expected one. No answer is wrong."""
    return answer is not None and is_same(answer_of(answer), expected)


def is_same(one: str, other: str) -> bool:
    """Whether two answers are the same after the published rules."""
    try:
        return normal(one) == normal(other)
    except _NotNormal:
        return one == other


def normal(text: str) -> str:
    """An answer as it is compared. Raises `ValueError` where a rule cannot be applied."""
    text = text.replace("\n", "").replace(r"\!", "").replace(r"\\", "\\")
    text = text.replace("tfrac", "frac").replace("dfrac", "frac")
    for what in _DROPPED:
        text = text.replace(what, "")
    # Twice, as published.
    text = _without_unit(text).replace(r"\%", "").replace(r"\%", "")
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    if text.startswith("."):
        text = f"0{text}"
    text = _braced_fractions(_braced_roots(_right_side(text)).replace(" ", ""))
    return _ratio(r"\frac{1}{2}" if text == "0.5" else text)


def _braced(text: str) -> str | None:
    """What stands in the braces that a text begins with; None without them, or where they are not closed."""
    if not text.startswith("{"):
        return None
    depth = 0
    for place, character in enumerate(text):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return text[1:place]
    return None


def _without_unit(text: str) -> str:
    number, *units = text.split(_UNIT)
    if len(units) > 1:
        raise _NotNormal("there are two units")
    return number


def _right_side(text: str) -> str:
    sides = text.split("=")
    return sides[1] if len(sides) == 2 and len(sides[0]) <= 2 else text


def _braced_roots(text: str) -> str:
    first, *radicands = text.split(r"\sqrt")
    if "" in radicands:
        raise _NotNormal("a root has nothing under it")
    return first + "".join(
        r"\sqrt" + (each if each.startswith("{") else f"{{{each[0]}}}{each[1:]}") for each in radicands
    )


def _braced_fractions(text: str) -> str:
    r"""`\frac12` and `\frac1{72}` with all their braces."""
    first, *fractions = text.split(r"\frac")
    found = first
    for each in fractions:
        if not each:
            raise _NotNormal("a fraction has nothing in it")
        if not each.startswith("{"):
            if len(each) < 2:
                return text
            each = f"{{{each[0]}}}" + (each[1:] if each[1] == "{" else f"{{{each[1]}}}{each[2:]}")
        found += r"\frac" + each
    return found


def _ratio(text: str) -> str:
    ratio = _RATIO.fullmatch(text)
    return rf"\frac{{{ratio['top']}}}{{{ratio['bottom']}}}" if ratio else text
