"""The grammar of a call: one of the offered tools, with arguments that its reduced schema allows.

    Action: NAME
    Action Input: {JSON}

It is written in llguidance's dialect of Lark. White space, strings, arrays and digits are bounded (`token_budget`), so
that a call closes within its token bound. Arguments come in any order, each at most once. Optional ones can be omitted;
if not all of them fit the bound, only some can be present at once. An object with more than 64 members cannot have its
last optional ones.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

from llguidance import LLMatcher

from alpha_umi.contract.schema_reduction import reduce_schema
from alpha_umi.contract.tool_schema import ToolSchemaError
from alpha_umi.serving.calls.number_ranges import decimals, integers
from alpha_umi.serving.calls.token_budget import MAX_MEMBERS, Bounds, Node, fit, interval, json_text, lengths, members

MAX_GRAMMAR_CHARACTERS = 512 * 1024
CACHED_GRAMMARS = 64


class Offered(Protocol):
    """The part of a tool that a grammar needs."""

    @property
    def name(self) -> str:
        """The name in the call."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema of type object."""


@dataclass(frozen=True)
class CallGrammar:
    """A grammar, and the maximum tokens of its texts by its accounting."""

    lark: str
    worst_tokens: int


def call_grammar(tools: Sequence[Offered], *, token_bound: int, strict: bool = False) -> CallGrammar:
    """The grammar of one call of one of the tools, which closes within `token_bound` tokens.

    Raises `ToolSchemaError`, with the tool's name, for a schema that cannot be used or does not fit the bound.
    """
    offered = [(tool.name, tool.parameters) for tool in tools]
    digest = hashlib.sha256(json.dumps([offered, token_bound, strict]).encode()).digest()
    with _cache:
        if digest in _made:
            _made.move_to_end(digest)
            return _made[digest]
    made = _grammar(offered, token_bound, strict)
    with _cache:
        _made[digest] = made
        while len(_made) > CACHED_GRAMMARS:
            _made.popitem(last=False)
    return made


def clear_grammar_cache() -> None:
    """Empty the cache of grammars."""
    with _cache:
        _made.clear()


# By digest, the least recently used first; threads share it.
_made: OrderedDict[bytes, CallGrammar] = OrderedDict()
_cache = Lock()


def _grammar(offered: Sequence[tuple[str, Mapping[str, Any]]], token_bound: int, strict: bool) -> CallGrammar:
    writer = _Writer()
    worst = 0
    calls = []
    for name, parameters in offered:
        head = f"Action: {name}\nAction Input: "
        try:
            schema = reduce_schema(parameters)
            bounds, cost = fit(schema, token_bound - len(head.encode()), strict)
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
    problem = LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(lark))
    if problem:
        raise AssertionError(f"llguidance refuses a generated grammar: {problem}")
    return CallGrammar(lark, worst)


# Placeholder of a rule's own name in its body; no literal contains it, because tabs are escaped there.
_SELF = "\t"


class _Writer:
    """Collects rules, equal ones once. `characters` is their total length."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.characters = 0
        self._names: dict[str, str] = {}

    def rule(self, node: Node, bounds: Bounds) -> str:
        """The name of the rule for a value."""
        return self._named("v", self._body(node, bounds))

    def _named(self, prefix: str, body: str, *, parameter: str = "") -> str:
        if body not in self._names:
            name = f"{prefix}{len(self._names)}"
            self._names[body] = name
            self.lines.append(f"{name}{parameter}: {body.replace(_SELF, name)}")
            self.characters += len(self.lines[-1])
        return self._names[body]

    def _body(self, node: Node, bounds: Bounds) -> str:
        if "enum" in node:
            # One terminal, which compiles many times faster than a rule with as many alternatives.
            return self._named("T", " | ".join(_literal(json_text(value)) for value in node["enum"]))
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
                return self._terminal(bounds.text(*lengths(node, "minLength", "maxLength", bounds.string)))
            case "integer":
                return self._terminal(integers(node["minimum"], node["maximum"]))
            case "number":
                low, high, digits = interval(node)
                return self._terminal(decimals(low, high, digits=digits))
            case "boolean":
                return '"true" | "false"'
            case _:
                return '"null"'

    def _terminal(self, expression: str) -> str:
        return self._named("T", f"/{expression}/")

    def _space(self, bounds: Bounds) -> str:
        return self._terminal(bounds.white_space)

    def _object(self, node: Node, bounds: Bounds) -> str:
        """Members in any order. The rule's parameter has a bit for each member present, required ones first."""
        space = self._space(bounds)
        required, optional = members(node, bounds)
        if len(required) > MAX_MEMBERS:
            raise ToolSchemaError(
                f"an object requires {len(required)} members, allowed are {MAX_MEMBERS}", remedy="require fewer"
            )
        if not required and not optional:
            return f'"{{" {space} "}}"'
        between = self._named("s", f'{space} %if is_zeros(_) | "," {space} %if not(is_zeros(_))', parameter="::_")
        few = f"bit_count_lt([{len(required)}:{MAX_MEMBERS}], {bounds.optional})"
        limited = len(optional) > bounds.optional
        alternatives = [f'{space} "}}"' + (f" %if is_ones([0:{len(required)}])" if required else "")]
        for bit, name in enumerate([*required, *optional]):
            value = self.rule(node["properties"][name], bounds)
            free = f"bit_clear({bit})"
            if limited and bit >= len(required):
                free = f"and({free}, {few})"
            key = _literal(json_text(name) + ":")
            alternatives.append(f"{between}::_ {key} {space} {value} {_SELF}::set_bit({bit}) %if {free}")
        return f'"{{" {self._named("m", " | ".join(alternatives), parameter="::_")}::0x0'

    def _array(self, node: Node, bounds: Bounds) -> str:
        space = self._space(bounds)
        item = self.rule(node["items"], bounds)
        low, high = lengths(node, "minItems", "maxItems", bounds.items)
        if high == 0:
            return f'"[" {space} "]"'
        more = self._named("m", f'"," {space} {item}')
        filled = f"{item} {more}{{{max(low - 1, 0)},{high - 1}}}" if high > 1 else item
        inside = self._named("m", filled if low else f'{filled} | ""')
        return f'"[" {space} {inside} {space} "]"'

    def _tuple(self, node: Node, bounds: Bounds) -> str:
        space = self._space(bounds)
        items = f' "," {space} '.join(self.rule(item, bounds) for item in node["prefixItems"])
        return f'"[" {space} {items} {space} "]"'


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
