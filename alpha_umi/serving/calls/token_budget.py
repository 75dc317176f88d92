"""Length bounds of the parts of a call, so that the call closes within its token bound.

A token has at least one byte of text, so bytes bound tokens from above. There are two accountings. The first attempt's
allows every character and indentation, and counts a character of a string as one token and white space as two, as in
ordinary text. The repair's is strict: it counts bytes, so that the call closes with any output. It allows single
blanks, and half as many characters if one of them has more than two bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from heapq import nlargest
from typing import Any

from alpha_umi.contract.schema_reduction import fraction_digits
from alpha_umi.contract.tool_schema import ToolSchemaError
from alpha_umi.serving.calls.number_ranges import FRACTION_DIGITS

MAX_STRING = 1_024
ARRAY_LENGTHS = (16, 8, 4, 2, 1)
# A rule of the grammar tracks an object's members in 64 bits.
MAX_MEMBERS = 64
OPTIONAL_COUNTS = (MAX_MEMBERS, 12, 8, 6, 4, 2, 1, 0)
# From generous to minimal: characters of a string, items of an array, and the fewest optional members of an object.
_COMFORT = ((40, 4, 6), (16, 1, 0), (1, 1, 0))

Node = Mapping[str, Any]

_SIMPLE_ESCAPE = r'\\["\\\/bfnrt]'
# A character outside the basic plane is a pair of escapes; a lone surrogate is invalid.
_UNICODE_ESCAPE = (
    r"\\u([0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}"
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_ANY_RAW = r'[^"\\\x00-\x1f\x7f]'
_SHORT_RAW = r"[ !#-\[\]-~\u00a0-\u07ff]"
_EPSILON = Fraction(1, 10**18)


@dataclass(frozen=True)
class Bounds:
    """Maximum characters of a string, items of an array, and optional members of an object.

    `strict` chooses the accounting.
    """

    strict: bool
    string: int
    items: int
    optional: int

    @property
    def white_space(self) -> str:
        """A regular expression: compact and indented JSON, or at most one blank."""
        return "[ ]?" if self.strict else r"( |\n {0,8})?"

    @property
    def white_space_tokens(self) -> int:
        return 1 if self.strict else 2

    @property
    def character_tokens(self) -> int:
        return 2 if self.strict else 1

    def text(self, least: int, most: int) -> str:
        """A regular expression: a string of `least` to `most` characters, with its quotes."""
        if not self.strict:
            return f'"({_SIMPLE_ESCAPE}|{_UNICODE_ESCAPE}|{_ANY_RAW}){{{least},{most}}}"'
        short = f"({_SIMPLE_ESCAPE}|{_SHORT_RAW}){{{least},{most}}}"
        wide = f"|({_SIMPLE_ESCAPE}|{_ANY_RAW}){{{least},{most // 2}}}" if least <= most // 2 else ""
        return f'"({short}{wide})"'


def fit(schema: Node, room: int, strict: bool) -> tuple[Bounds, int]:
    """The bounds with which the longest arguments fit into `room` tokens, and the tokens of these arguments.

    With little room, first fewer optional arguments can be present at once, then strings and arrays are shorter;
    required arguments always stay. Raises `ToolSchemaError` if those alone do not fit.
    """
    for string, items, fewest in _COMFORT:
        for optional in (count for count in OPTIONAL_COUNTS if count >= fewest):
            bounds = Bounds(strict, string=string, items=items, optional=optional)
            if cost(schema, bounds) <= room:
                return _widened(schema, bounds, room)
    least = cost(schema, Bounds(strict, string=1, items=1, optional=0))
    raise ToolSchemaError(
        f"its required arguments alone can take {least} tokens, and {max(room, 0)} are left",
        remedy="raise max_tokens, or require fewer and shorter arguments",
    )


def _widened(schema: Node, bounds: Bounds, room: int) -> tuple[Bounds, int]:
    """Lengthen arrays, then strings, as far as they fit."""
    lengths_to_try = (replace(bounds, items=items) for items in ARRAY_LENGTHS if items > bounds.items)
    widest = next((wider for wider in lengths_to_try if cost(schema, wider) <= room), bounds)
    low, high = widest.string, MAX_STRING
    while low < high:
        middle = (low + high + 1) // 2
        fits = cost(schema, replace(widest, string=middle)) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    chosen = replace(widest, string=low)
    return chosen, cost(schema, chosen)


def members(node: Node, bounds: Bounds) -> tuple[list[str], list[str]]:
    """Names of an object's required members, and of the optional ones that can be written beside them."""
    required = [name for name in node["properties"] if name in node["required"]]
    optional = [name for name in node["properties"] if name not in node["required"]] if bounds.optional else []
    return required, optional[: max(0, MAX_MEMBERS - len(required))]


def _pair_cost(name: str, value: Node, bounds: Bounds) -> int:
    """Most tokens of a member with the colon and the comma."""
    return len(json_text(name).encode()) + 2 + 2 * bounds.white_space_tokens + cost(value, bounds)


def cost(node: Node, bounds: Bounds) -> int:
    """Most tokens of a value."""
    if "enum" in node:
        return max(len(json_text(value).encode()) for value in node["enum"])
    if "anyOf" in node:
        return max(cost(option, bounds) for option in node["anyOf"])
    space = bounds.white_space_tokens
    match node["type"]:
        case "object":
            always, sometimes = (
                [_pair_cost(name, node["properties"][name], bounds) for name in names]
                for names in members(node, bounds)
            )
            return 2 + 2 * space + sum(always) + sum(nlargest(bounds.optional, sometimes))
        case "array" if "prefixItems" in node:
            return 2 + 2 * space + sum(cost(item, bounds) + 1 + space for item in node["prefixItems"])
        case "array":
            _, most = lengths(node, "minItems", "maxItems", bounds.items)
            return 2 + 2 * space + most * (cost(node["items"], bounds) + 1 + space)
        case "string":
            _, most = lengths(node, "minLength", "maxLength", bounds.string)
            return 2 + most * bounds.character_tokens
        case "integer":
            return max(len(str(node["minimum"])), len(str(node["maximum"])))
        case "number":
            low, high, digits = interval(node)
            return max(len(str(math.floor(low))), len(str(math.ceil(high)))) + 2 + digits
        case _:
            return len("false")


def lengths(node: Node, least: str, most: str, bound: int) -> tuple[int, int]:
    """Smallest and largest length; the largest is the lower of the schema's limit and `bound`."""
    low = node.get(least, 0)
    return low, max(low, min(node.get(most, bound), bound))


def interval(node: Node) -> tuple[Fraction, Fraction, int]:
    """A number's bounds, both included, and its decimal digits; an exclusive bound moves inwards by an epsilon."""
    bounds = {name: Fraction(str(bound)) for name, bound in node.items() if name != "type"}
    low = bounds["minimum"] if "minimum" in bounds else bounds["exclusiveMinimum"] + _EPSILON
    high = bounds["maximum"] if "maximum" in bounds else bounds["exclusiveMaximum"] - _EPSILON
    finest = max(fraction_digits(node[name]) for name in bounds)
    return low, high, max(FRACTION_DIGITS, finest + 1)


def json_text(value: Any) -> str:
    """A value as JSON text, as the grammar spells it."""
    return json.dumps(value, ensure_ascii=False)
