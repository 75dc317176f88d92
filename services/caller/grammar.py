"""The grammar of a call: one of the offered tools, and arguments that its reduced schema allows.

    Action: NAME
    Action Input: {JSON}

Written in llguidance's dialect of Lark. Everything is bounded, so that a call closes within its token bound: white
space, strings, arrays and digits. A token is at least one byte of text, so bytes bound tokens from above. Arguments
keep the order of the schema; optional ones may be left out, and those for which there is no room are not offered.

Two accountings. The first attempt allows every character and indentation, and counts a character of a string as one
token and white space as two, as in ordinary text. The strict one, for the repair, allows only characters of at most two
bytes and single blanks, and counts bytes: it closes whatever a model does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

from llguidance import LLMatcher

from alpha_umi.contract.tool_schema import ToolSchemaError, reduce_schema
from services.caller.number_ranges import FRACTION_DIGITS, decimals, integers

MAX_STRING = 256
MIN_STRING = 16
ARRAY_LENGTHS = (16, 8, 4, 2, 1)
CACHED_GRAMMARS = 256

Node = Mapping[str, Any]


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
    def character(self) -> str:
        if self.strict:
            return r'(\\["\\\/bfnrt]|[ !#-\[\]-~\u00a0-\u07ff])'
        return r'(\\(["\\\/bfnrt]|u[0-9a-fA-F]{4})|[^"\\\x00-\x1f\x7f])'

    @property
    def character_tokens(self) -> int:
        return 2 if self.strict else 1


def call_grammar(tools: Sequence[Offered], *, token_bound: int, strict: bool = False) -> CallGrammar:
    """The grammar of one call of one of the tools, which closes within `token_bound` tokens.

    Raises `ToolSchemaError`, with the tool's name, for a schema that cannot be used or does not fit the bound.
    """
    return _cached(tuple((tool.name, json.dumps(tool.parameters)) for tool in tools), token_bound, strict)


@lru_cache(maxsize=CACHED_GRAMMARS)
def _cached(tools: tuple[tuple[str, str], ...], token_bound: int, strict: bool) -> CallGrammar:
    writer = _Writer()
    worst = 0
    calls = []
    for name, parameters in tools:
        head = f"Action: {name}\nAction Input: "
        try:
            schema, bounds, cost = _fitted(
                reduce_schema(json.loads(parameters)), token_bound - len(head.encode()), strict
            )
        except ToolSchemaError as error:
            error.tool = name
            raise
        calls.append(f"{_literal(head)} {writer.rule(schema, bounds)}")
        worst = max(worst, cost + len(head.encode()))
    lark = "\n".join([f"start: {' | '.join(calls)}", *writer.lines, ""])
    refusal = LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(lark))
    if refusal:
        raise AssertionError(f"a grammar of ours is not one: {refusal}")
    return CallGrammar(lark, worst)


def _fitted(schema: Node, room: int, strict: bool) -> tuple[Node, _Bounds, int]:
    """The schema and bounds with which the longest arguments still fit into `room` tokens."""
    for candidate in _with_fewer_options(schema):
        for items in ARRAY_LENGTHS:
            bounds = _Bounds(strict, items=items)
            if _cost(candidate, bounds) <= room:
                return _with_longest_strings(candidate, bounds, room)
    smallest = _Bounds(strict, string=1, items=1)
    least = _without_options(schema)
    if _cost(least, smallest) <= room:
        return _with_longest_strings(least, smallest, room)
    raise ToolSchemaError(
        f"its required arguments alone can take {_cost(least, smallest)} tokens, and {max(room, 0)} are left",
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


def _with_fewer_options(schema: Node) -> Iterator[Node]:
    """The schema, then without its last optional argument, and so on; required ones always stay."""
    yield schema
    optional = [name for name in schema["properties"] if name not in schema["required"]]
    dropped: set[str] = set()
    for name in reversed(optional):
        dropped.add(name)
        yield {
            **schema,
            "properties": {key: value for key, value in schema["properties"].items() if key not in dropped},
        }


def _without_options(schema: Node) -> Node:
    *_, last = _with_fewer_options(schema)
    return last


def _cost(node: Node, bounds: _Bounds) -> int:
    """Most tokens of a value."""
    if "enum" in node:
        return max(len(_json(value).encode()) for value in node["enum"])
    if "anyOf" in node:
        return max(_cost(option, bounds) for option in node["anyOf"])
    space = bounds.white_space_tokens
    match node["type"]:
        case "object":
            pairs = [
                len(_json(name).encode()) + 1 + space + _cost(value, bounds)
                for name, value in node["properties"].items()
            ]
            return 2 + 2 * space + sum(pairs) + (1 + space) * max(len(pairs) - 1, 0)
        case "array":
            _, most = _lengths(node, "minItems", "maxItems", bounds.items)
            return 2 + 2 * space + most * (_cost(node["items"], bounds) + 1 + space)
        case "string":
            _, most = _lengths(node, "minLength", "maxLength", bounds.string)
            return 2 + most * bounds.character_tokens
        case "integer":
            return max(len(str(node["minimum"])), len(str(node["maximum"])))
        case "number":
            return (
                max(len(str(math.floor(node["minimum"]))), len(str(math.ceil(node["maximum"])))) + 2 + FRACTION_DIGITS
            )
        case _:
            return len("false")


def _lengths(node: Node, least: str, most: str, bound: int) -> tuple[int, int]:
    """Smallest and largest length: what the schema demands, and its own limit or ours, whichever is lower."""
    low = node.get(least, 0)
    return low, max(low, min(node.get(most, bound), bound))


class _Writer:
    """Collects rules; equal ones are written once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[str, str] = {}

    def rule(self, node: Node, bounds: _Bounds) -> str:
        """The name of the rule for a value."""
        return self._named("v", self._body(node, bounds))

    def _named(self, prefix: str, body: str) -> str:
        if body not in self._names:
            self._names[body] = f"{prefix}{len(self._names)}"
            self.lines.append(f"{self._names[body]}: {body}")
        return self._names[body]

    def _body(self, node: Node, bounds: _Bounds) -> str:
        if "enum" in node:
            return " | ".join(_literal(_json(value)) for value in node["enum"])
        if "anyOf" in node:
            return " | ".join(self.rule(option, bounds) for option in node["anyOf"])
        match node["type"]:
            case "object":
                return self._object(node, bounds)
            case "array":
                return self._array(node, bounds)
            case "string":
                low, high = _lengths(node, "minLength", "maxLength", bounds.string)
                return self._terminal(f'"{bounds.character}{{{low},{high}}}"')
            case "integer":
                return self._terminal(integers(node["minimum"], node["maximum"]))
            case "number":
                return self._terminal(decimals(node["minimum"], node["maximum"]))
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


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# Kept beside the cache so that tests can start from an empty one.
forget_grammars: Callable[[], None] = _cached.cache_clear
