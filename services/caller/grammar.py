"""The grammar of a call: one of the offered tools, and arguments that its reduced schema allows.

    Action: NAME
    Action Input: {JSON}

Written in llguidance's dialect of Lark. Everything is bounded, so that a call closes within its token bound: white
space, strings, arrays and digits. A token is at least one byte of text, so bytes bound tokens from above. Arguments
keep the order of the schema; optional ones may be left out, and those for which there is no room are not offered.

Two accountings. The first attempt allows every character and indentation, and counts a character of a string as one
token and white space as two, as in ordinary text. The strict one, for the repair, counts bytes: it closes whatever a
model does. It allows single blanks, and half as many characters where one of them has more than two bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Protocol

from llguidance import LLMatcher

from alpha_umi.contract.schema_reduction import fraction_digits, reduce_schema
from alpha_umi.contract.tool_schema import ToolSchemaError
from services.caller.number_ranges import FRACTION_DIGITS, decimals, integers

MAX_STRING = 256
MIN_STRING = 16
ARRAY_LENGTHS = (16, 8, 4, 2, 1)
MAX_GRAMMAR_CHARACTERS = 512 * 1024
CACHED_GRAMMARS = 64

Node = Mapping[str, Any]

_SIMPLE_ESCAPE = r'\\["\\\/bfnrt]'
# A character outside the basic plane is a pair of escapes; half a pair is no character.
_UNICODE_ESCAPE = (
    r"\\u([0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}"
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_ANY_RAW = r'[^"\\\x00-\x1f\x7f]'
_SHORT_RAW = r"[ !#-\[\]-~\u00a0-\u07ff]"
_NEXT_TO_NOTHING = Fraction(1, 10**18)


class Offered(Protocol):
    """What a grammar needs of a tool."""

    @property
    def name(self) -> str:
        """The name that the call will show."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema of type object."""


@dataclass(frozen=True)
class CallGrammar:
    """A grammar, and the most tokens that a text of it can have by its accounting."""

    lark: str
    worst_tokens: int


@dataclass(frozen=True)
class _Bounds:
    """How long things may get, in characters and items. `strict` chooses the accounting."""

    strict: bool
    string: int = MIN_STRING
    items: int = ARRAY_LENGTHS[0]

    @property
    def white_space(self) -> str:
        """A regular expression: compact and indented JSON, or nothing but a blank."""
        return "[ ]?" if self.strict else r"( |\n {0,8})?"

    @property
    def white_space_tokens(self) -> int:
        return 1 if self.strict else 2

    @property
    def character_tokens(self) -> int:
        return 2 if self.strict else 1

    def text(self, least: int, most: int) -> str:
        """A regular expression: a string of so many characters, quotes included."""
        if not self.strict:
            return f'"({_SIMPLE_ESCAPE}|{_UNICODE_ESCAPE}|{_ANY_RAW}){{{least},{most}}}"'
        short = f"({_SIMPLE_ESCAPE}|{_SHORT_RAW}){{{least},{most}}}"
        wide = f"|({_SIMPLE_ESCAPE}|{_ANY_RAW}){{{least},{most // 2}}}" if least <= most // 2 else ""
        return f'"({short}{wide})"'


def call_grammar(tools: Sequence[Offered], *, token_bound: int, strict: bool = False) -> CallGrammar:
    """The grammar of one call of one of the tools, which closes within `token_bound` tokens.

    Raises `ToolSchemaError`, with the tool's name, for a schema that cannot be used or does not fit the bound.
    """
    offered = [(tool.name, tool.parameters) for tool in tools]
    digest = hashlib.sha256(json.dumps([offered, token_bound, strict]).encode()).digest()
    if digest not in _made:
        _made[digest] = _grammar(offered, token_bound, strict)
        while len(_made) > CACHED_GRAMMARS:
            _made.popitem(last=False)
    _made.move_to_end(digest)
    return _made[digest]


def forget_grammars() -> None:
    """Start from an empty cache."""
    _made.clear()


_made: OrderedDict[bytes, CallGrammar] = OrderedDict()


def _grammar(offered: Sequence[tuple[str, Mapping[str, Any]]], token_bound: int, strict: bool) -> CallGrammar:
    writer = _Writer()
    worst = 0
    calls = []
    for name, parameters in offered:
        head = f"Action: {name}\nAction Input: "
        try:
            schema, bounds, cost = _fitted(reduce_schema(parameters), token_bound - len(head.encode()), strict)
            calls.append(f"{_literal(head)} {writer.rule(schema, bounds)}")
            if writer.characters > MAX_GRAMMAR_CHARACTERS:
                raise ToolSchemaError(
                    "the grammar of the tools up to this one is too large",
                    remedy="offer fewer tools, or fewer parameters and listed values",
                )
        except ToolSchemaError as error:
            error.tool = name
            raise
        worst = max(worst, cost + len(head.encode()))
    lark = "\n".join([f"start: {' | '.join(calls)}", *writer.lines, ""])
    refusal = LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(lark))
    if refusal:
        raise AssertionError(f"a grammar of ours is not one: {refusal}")
    return CallGrammar(lark, worst)


def _fitted(schema: Node, room: int, strict: bool) -> tuple[Node, _Bounds, int]:
    """The schema and bounds with which the longest arguments still fit into `room` tokens.

    Shorter arrays come first, then fewer optional arguments, from the end; required ones always stay.
    """
    smallest = _Bounds(strict, items=ARRAY_LENGTHS[-1])
    fitting = _with_fewer_options(schema, smallest, room)
    for items in ARRAY_LENGTHS:
        bounds = _Bounds(strict, items=items)
        if _cost(fitting, bounds) <= room:
            return _with_longest_strings(fitting, bounds, room)
    shortest = replace(smallest, string=1)
    if _cost(fitting, shortest) <= room:
        return _with_longest_strings(fitting, shortest, room)
    raise ToolSchemaError(
        f"its required arguments alone can take {_cost(fitting, shortest)} tokens, and {max(room, 0)} are left",
        remedy="raise max_tokens, or require fewer and shorter arguments",
    )


def _with_longest_strings(schema: Node, bounds: _Bounds, room: int) -> tuple[Node, _Bounds, int]:
    low, high = bounds.string, MAX_STRING
    while low < high:
        middle = (low + high + 1) // 2
        fits = _cost(schema, replace(bounds, string=middle)) <= room
        low, high = (middle, high) if fits else (low, middle - 1)
    chosen = replace(bounds, string=low)
    return schema, chosen, _cost(schema, chosen)


def _with_fewer_options(schema: Node, bounds: _Bounds, room: int) -> Node:
    """The schema without the last optional arguments that there is no room for."""
    properties = schema["properties"]
    pairs = {name: _pair_cost(name, value, bounds) for name, value in properties.items()}
    left = _cost(schema, bounds)
    dropped: set[str] = set()
    for name in reversed(properties):
        if left > room and name not in schema["required"]:
            dropped.add(name)
            left -= pairs[name]
    return {**schema, "properties": {name: value for name, value in properties.items() if name not in dropped}}


def _pair_cost(name: str, value: Node, bounds: _Bounds) -> int:
    """Most tokens of a member with the colon and the comma."""
    return len(_json(name).encode()) + 2 + 2 * bounds.white_space_tokens + _cost(value, bounds)


def _cost(node: Node, bounds: _Bounds) -> int:
    """Most tokens of a value."""
    if "enum" in node:
        return max(len(_json(value).encode()) for value in node["enum"])
    if "anyOf" in node:
        return max(_cost(option, bounds) for option in node["anyOf"])
    space = bounds.white_space_tokens
    match node["type"]:
        case "object":
            pairs = sum(_pair_cost(name, value, bounds) for name, value in node["properties"].items())
            return 2 + 2 * space + pairs
        case "array" if "prefixItems" in node:
            return 2 + 2 * space + sum(_cost(item, bounds) + 1 + space for item in node["prefixItems"])
        case "array":
            _, most = _lengths(node, "minItems", "maxItems", bounds.items)
            return 2 + 2 * space + most * (_cost(node["items"], bounds) + 1 + space)
        case "string":
            _, most = _lengths(node, "minLength", "maxLength", bounds.string)
            return 2 + most * bounds.character_tokens
        case "integer":
            return max(len(str(node["minimum"])), len(str(node["maximum"])))
        case "number":
            low, high, digits = _interval(node)
            return max(len(str(math.floor(low))), len(str(math.ceil(high)))) + 2 + digits
        case _:
            return len("false")


def _lengths(node: Node, least: str, most: str, bound: int) -> tuple[int, int]:
    """Smallest and largest length: what the schema demands, and its own limit or ours, whichever is lower."""
    low = node.get(least, 0)
    return low, max(low, min(node.get(most, bound), bound))


def _interval(node: Node) -> tuple[Fraction, Fraction, int]:
    """A number's bounds, both included, and its digits after the point; an open bound moves in by next to nothing."""
    bounds = {name: Fraction(str(bound)) for name, bound in node.items() if name != "type"}
    low = bounds["minimum"] if "minimum" in bounds else bounds["exclusiveMinimum"] + _NEXT_TO_NOTHING
    high = bounds["maximum"] if "maximum" in bounds else bounds["exclusiveMaximum"] - _NEXT_TO_NOTHING
    finest = max(fraction_digits(node[name]) for name in bounds)
    return low, high, max(FRACTION_DIGITS, finest + 1)


class _Writer:
    """Collects rules; equal ones are written once. `characters` counts what they have so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.characters = 0
        self._names: dict[str, str] = {}

    def rule(self, node: Node, bounds: _Bounds) -> str:
        """The name of the rule for a value."""
        return self._named("v", self._body(node, bounds))

    def _named(self, prefix: str, body: str) -> str:
        if body not in self._names:
            self._names[body] = f"{prefix}{len(self._names)}"
            self.lines.append(f"{self._names[body]}: {body}")
            self.characters += len(self.lines[-1])
        return self._names[body]

    def _body(self, node: Node, bounds: _Bounds) -> str:
        if "enum" in node:
            return " | ".join(_literal(_json(value)) for value in node["enum"])
        if "anyOf" in node:
            return " | ".join(self.rule(option, bounds) for option in node["anyOf"])
        match node["type"]:
            case "object":
                return self._object(node, bounds)
            case "array" if "prefixItems" in node:
                return self._tuple(node, bounds)
            case "array":
                return self._array(node, bounds)
            case "string":
                return self._terminal(bounds.text(*_lengths(node, "minLength", "maxLength", bounds.string)))
            case "integer":
                return self._terminal(integers(node["minimum"], node["maximum"]))
            case "number":
                low, high, digits = _interval(node)
                return self._terminal(decimals(low, high, digits=digits))
            case "boolean":
                return '"true" | "false"'
            case _:
                return '"null"'

    def _terminal(self, expression: str) -> str:
        return self._named("T", f"/{expression}/")

    def _space(self, bounds: _Bounds) -> str:
        return self._terminal(bounds.white_space)

    def _object(self, node: Node, bounds: _Bounds) -> str:
        """Members in order. `after[True]` is what may follow once a member stands, `after[False]` before any does."""
        space = self._space(bounds)
        after = {True: '""', False: '""'}
        for name, value in reversed(node["properties"].items()):
            pair = f"{_literal(_json(name) + ':')} {space} {self.rule(value, bounds)} {after[True]}"
            first, further = pair, f'"," {space} {pair}'
            if name not in node["required"]:
                first, further = f"{first} | {after[False]}", f"{further} | {after[True]}"
            after = {True: self._named("m", further), False: self._named("m", first)}
        return f'"{{" {space} {after[False]} {space} "}}"'

    def _array(self, node: Node, bounds: _Bounds) -> str:
        space = self._space(bounds)
        item = self.rule(node["items"], bounds)
        low, high = _lengths(node, "minItems", "maxItems", bounds.items)
        if high == 0:
            return f'"[" {space} "]"'
        more = self._named("m", f'"," {space} {item}')
        filled = f"{item} {more}{{{max(low - 1, 0)},{high - 1}}}" if high > 1 else item
        inside = self._named("m", filled if low else f'{filled} | ""')
        return f'"[" {space} {inside} {space} "]"'

    def _tuple(self, node: Node, bounds: _Bounds) -> str:
        space = self._space(bounds)
        items = f' "," {space} '.join(self.rule(item, bounds) for item in node["prefixItems"])
        return f'"[" {space} {items} {space} "]"'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
