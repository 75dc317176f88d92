"""The grammar of a call: one of the offered tools, with arguments that its schema allows.

    Action: NAME
    Action Input: {JSON}

or, as models write it that were trained for no role,

    {"name": "NAME", "arguments": {JSON}}

Or that of an answer: a value that its schema allows. It is written in llguidance's dialect of Lark. Every call that the
schema allows can be written, as compact, spaced or indented JSON; members come in any order, each declared one at most
once. Texts and lists are as long as the schema lets them be: only the token limit ends them. What a grammar cannot
express is left out of it, and the full schema is checked afterwards (`validation`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from llguidance import LLMatcher

from alpha_umi.contract.patterns import enforced_size
from alpha_umi.serving.calls.alternatives import Reader, Schema, TooLarge
from alpha_umi.serving.engine import Grammar

# Of one tool, and of all together; a tool that exceeds it takes any JSON object.
MAX_TOOL_CHARACTERS = 512 * 1024
MAX_GRAMMAR_CHARACTERS = 1024 * 1024
CACHED_GRAMMARS = 16
CACHED_TOOLS = 256
CACHED_LEAVES = 4_096
# A rule of the grammar tracks an object's members in 64 bits.
MAX_MEMBERS = 64
# The parser follows 2,000 items at once.
MAX_ITEMS = 1_800
# Larger limits are left to the check: the parser counts items in states.
MAX_COUNTED_ITEMS = 1_000
MAX_COUNTED_CHARACTERS = 10_000
MAX_PATTERN_CHARACTERS = 2_000
MAX_REPETITIONS = 10_000
# A double represents integers up to this one.
MAX_INTEGER = 2**53
# Others are used in more than one sense (`duration`, `time`), or llguidance does not know all of their values.
FORMATS = frozenset(["date", "date-time", "email", "ipv4", "uri", "uuid"])
# The addresses of RFC 5321 that llguidance does not know: a quoted name, and an IPv6 host.
RARE_EMAIL = r'^(".*"|[^\s"@]+@\[IPv6:)[^\s"]+$'

_NO_ARGUMENTS = {"type": "object", "additionalProperties": False}

_SIMPLE_ESCAPE = r'\\["\\\/bfnrt]'
# A character outside the basic plane is a pair of escapes; a lone surrogate is invalid.
_UNICODE_ESCAPE = (
    r"\\u([0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}"
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
_RAW = r'[^"\\\x00-\x1f]'
_CHARACTER = f"({_SIMPLE_ESCAPE}|{_UNICODE_ESCAPE}|{_RAW})"
_DIGITS = "-?(0|[1-9][0-9]*)"
_COMMON = rf"""
SPACE: /( |\n {{0,64}})?/
TEXT: /"{_CHARACTER}*"/
KEY: /"({_SIMPLE_ESCAPE}|\\u00[01][0-9a-fA-F]|{_RAW})*"/
NUMBER: /{_DIGITS}(\.[0-9]+)?([eE][+-]?[0-9]{{1,3}})?/
INTEGER: /{_DIGITS}(\.0|[eE]\+?[0-9]{{1,2}})?/
EXPONENT: /{_DIGITS}(\.[0-9]+)?[eE][+-]?[0-9]{{1,3}}/
NOTATION: /{_DIGITS}(\.0|[eE]\+?[0-9]{{1,2}})/
json_value: json_object | json_array | TEXT | NUMBER | "true" | "false" | "null"
json_object: "{{" SPACE (json_member ("," SPACE json_member)* SPACE)? "}}"
json_member: TEXT ":" SPACE json_value
json_array: "[" SPACE (json_value ("," SPACE json_value)* SPACE)? "]"
"""


class Offered(Protocol):
    """The part of a tool that a grammar needs."""

    @property
    def name(self) -> str:
        """The name in the call."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema of type object."""


def call_grammar(tools: Sequence[Offered], *, as_json: bool = False) -> Grammar:
    """The grammar of one call of one of the tools, whose schemas must be valid.

    `as_json`: the call is a JSON object, and not in the published form.
    """
    return _call_grammar(tuple((tool.name, json.dumps(tool.parameters)) for tool in tools), as_json)


@lru_cache(CACHED_GRAMMARS)
def answer_grammar(schema: str) -> Grammar:
    """The grammar of the values of a valid schema, which is given as JSON text."""
    root = json.loads(schema)
    written = _written(root, root, _root(schema))
    lark = "\n".join([f"start: {_root(schema)}", written.rules, _COMMON])
    if written.rules and _compiles(lark):
        return Grammar(lark, written.loosened, schema=schema)
    value = "json_object" if root.get("type") == "object" else "json_value"
    return Grammar(f"start: {value}\n{_COMMON}", frozenset(["answer"]), schema=schema)


def clear_grammar_cache() -> None:
    """Empty the caches of grammars."""
    for cached in (_call_grammar, answer_grammar, _arguments, _leaf_compiles):
        cached.cache_clear()


@dataclass(frozen=True)
class _Rules:
    """The rules of a schema, "" if any value will do, and what they leave out (`Grammar.loosened`)."""

    rules: str
    loosened: frozenset[str] = frozenset()


_ANY = _Rules("", frozenset(["tool"]))


@lru_cache(CACHED_GRAMMARS)
def _call_grammar(offered: tuple[tuple[str, str], ...], as_json: bool) -> Grammar:
    written = {parameters: _arguments(parameters) for _, parameters in offered}
    while sum(len(each.rules) for each in written.values()) > MAX_GRAMMAR_CHARACTERS:
        written[max(written, key=lambda parameters: len(written[parameters].rules))] = _ANY
    if not _compiles(_lark(offered, written, as_json)):
        alone = {
            key: each if _compiles(_lark([("tool", key)], written, as_json)) else _ANY for key, each in written.items()
        }
        written = alone if _compiles(_lark(offered, alone, as_json)) else dict.fromkeys(written, _ANY)
    loosened = frozenset().union(*(each.loosened for each in written.values()))
    return Grammar(_lark(offered, written, as_json), loosened, offered)


def _published(name: str) -> str:
    return f"Action: {name}\nAction Input: "


def _lark(offered: Sequence[tuple[str, str]], written: Mapping[str, _Rules], as_json: bool) -> str:
    calls = []
    for name, parameters in offered:
        arguments = _root(parameters) if written[parameters].rules else "json_object"
        before, after = (f'{{"name": {_text(name)}, "arguments": ', ' "}"') if as_json else (_published(name), "")
        calls.append(f"{_literal(before)} {arguments}{after}")
    used = dict.fromkeys(written[parameters].rules for _, parameters in offered)
    return "\n".join([f"start: {' | '.join(calls)}", *filter(None, used), _COMMON])


@lru_cache(CACHED_TOOLS)
def _arguments(parameters: str) -> _Rules:
    schema = json.loads(parameters)
    root = {"allOf": [schema, {"type": "object"}]} if schema else _NO_ARGUMENTS
    return _written(schema, root, _root(parameters))


def _written(schema: Mapping[str, Any], root: Mapping[str, Any], prefix: str) -> _Rules:
    """The rules of `root`, whose references lead into `schema`."""
    writer = _Writer(schema, prefix)
    try:
        return _Rules(writer.write(root), frozenset(writer.loosened))
    except TooLarge:
        return _ANY


def _root(parameters: str) -> str:
    """The name of the rule of a schema; those of its parts begin with it."""
    return f"a{hashlib.sha256(parameters.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class _Choice:
    """An alternative of a rule: about how many items it adds to a state of the parser, and the rules of its parts."""

    items: int
    parts: Sequence[str]
    is_object: bool


class _Writer:
    """Writes the rules of one tool, those of equal schemas once.

    Schemas wait in a queue until their rules are written, so that recursive ones end.
    """

    def __init__(self, root: Mapping[str, Any], prefix: str) -> None:
        self.loosened: set[str] = set()
        self._reader = Reader(root, self.loosened)
        self._prefix = prefix
        self._names: dict[str, str] = {}
        self._waiting: list[tuple[str, Any]] = []
        self._bodies: dict[str, str] = {}
        self._characters = 0
        self._choices: dict[str, list[_Choice]] = {}
        # The rules that the alternative in work uses.
        self._parts: list[str] = []

    def write(self, schema: Any) -> str:
        """The rules of a schema; the name of its own one is the prefix. Raises `TooLarge`."""
        self._names[json.dumps(schema)] = self._prefix
        self._waiting.append((self._prefix, schema))
        while self._waiting:
            name, waiting = self._waiting.pop(0)
            self._add(name, self._body(name, waiting))
        self._loosen_wide()
        return "\n".join(f"{name}: {body}" for name, body in self._bodies.items())

    def _add(self, name: str, body: str) -> None:
        self._bodies[name] = body
        self._characters += len(body)
        if self._characters > MAX_TOOL_CHARACTERS:
            raise TooLarge

    def _loosen_wide(self) -> None:
        """Replace rules in which the parser would follow more alternatives at once than it can.

        From the inner rules to the outer ones, twice, because recursive rules come back.
        """
        widths: dict[str, int] = {}
        for name in [*reversed(self._choices), *reversed(self._choices)]:
            choices = self._choices[name]
            inside = [max((widths.get(part, 0) for part in choice.parts), default=0) for choice in choices]
            widths[name] = sum(max(choice.items, width) for choice, width in zip(choices, inside, strict=True))
            if widths[name] > MAX_ITEMS:
                self.loosened.add("alternatives")
                self._bodies[name] = "json_object" if all(choice.is_object for choice in choices) else "json_value"
                self._choices[name], widths[name] = [], 0

    def _rule(self, schema: Any) -> str:
        """The name of the rule for a schema."""
        # What nothing satisfies is left to the check.
        if isinstance(schema, bool) or schema == {}:
            return "json_value"
        key = json.dumps(schema)
        if key not in self._names:
            self._names[key] = f"{self._prefix}v{len(self._names)}"
            self._waiting.append((self._names[key], schema))
        self._parts.append(self._names[key])
        return self._names[key]

    def _named(self, kind: str, body: str) -> str:
        """The name of a rule with this body; of a terminal if `kind` is upper case."""
        key = f"{kind}{body}"
        if key not in self._names:
            name = f"{self._prefix}{kind}{len(self._names)}"
            self._names[key] = name.upper() if kind.isupper() else name
            self._add(self._names[key], body)
        return self._names[key]

    def _body(self, name: str, schema: Any) -> str:
        """Alternatives of a rule; any value where the schema allows nothing, which is left to the check."""
        bodies: dict[str, _Choice] = {}
        options = self._reader.options(schema)
        for alternative in self._reader.alternatives(schema) if options is None else options:
            self._parts = []
            body = self._alternative(alternative) if options is None else self._rule(alternative)
            members = len(alternative.get("properties", ())) if options is None else 0
            kind = alternative.get("type") if isinstance(alternative, dict) else None
            bodies[body] = _Choice(2 * members + 8, self._parts, kind == "object")
        self._choices[name] = list(bodies.values())
        return " | ".join(bodies) or "json_value"

    def _alternative(self, schema: Schema) -> str:
        if "enum" in schema:
            return self._listed(schema["enum"])
        match schema.get("type"):
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema)
            case "boolean":
                return '"true" | "false"'
            case "null":
                return '"null"'
            case _:
                return "json_value"

    def _listed(self, values: Sequence[Any]) -> str:
        """One terminal for all plain values, which compiles many times faster than a rule with as many alternatives."""
        plain = [form for value in values for form in _forms(value)]
        kinds: dict[type, str] = {list: "json_array", dict: "json_object"}
        loose = {kinds[type(value)] for value in values if isinstance(value, list | dict)}
        return " | ".join([*([self._named("T", " | ".join(plain))] if plain else []), *sorted(loose)])

    def _object(self, schema: Schema) -> str:
        """Members in any order. The rule's parameter has a bit for each member present, required ones first."""
        free = _free_members(schema)
        declared = schema.get("properties", {})
        required = dict.fromkeys(schema.get("required", ()))
        members = {name: declared.get(name, free) for name in required}
        members |= {name: value for name, value in declared.items() if name not in required and value is not False}
        if not members:
            return self._map(free)
        counted = min(len(required), MAX_MEMBERS)
        tracked = min(len(members), MAX_MEMBERS)
        more = "" if free is not False or len(members) > MAX_MEMBERS else f" %if not(is_ones([0:{tracked}]))"
        end = f'SPACE "}}"{f" %if is_ones([0:{counted}])" if counted else ""} | "," SPACE MEMBERS::_{more}'
        return self._members(members, free, {*declared, *required}, end, can_be_empty=not required)

    def _members(self, members: Mapping[str, Any], free: Any, names: set[str], end: str, *, can_be_empty: bool) -> str:
        rule = f"{self._prefix}m{len(self._names)}"
        self._names[rule] = rule
        after = f"{rule}e"
        alternatives = []
        for bit, (name, value) in enumerate(members.items()):
            tracking = ("_", "") if bit >= MAX_MEMBERS else (f"set_bit({bit})", f" %if bit_clear({bit})")
            # The colon stands apart: the lexer would prefer a literal with it to a free member of the same name, which
            # may be declared in another alternative.
            key = f'{_literal(_text(name))} ":"'
            alternatives.append(f"{key} SPACE {self._rule(value)} {after}::{tracking[0]}{tracking[1]}")
        if free is not False:
            excluded = " | ".join(_literal(_text(name)) for name in sorted(names))
            key = self._named("K", f"KEY & ~({excluded})")
            alternatives.append(f'{key} ":" SPACE {self._rule(free)} {after}::_')
        self._add(f"{rule}::_", " | ".join(alternatives))
        self._add(f"{after}::_", end.replace("MEMBERS", rule))
        empty = ' | "{" SPACE "}"' if can_be_empty else ""
        return f'"{{" SPACE {rule}::0x0{empty}'

    def _map(self, free: Any) -> str:
        """An object without declared members."""
        if free is False:
            return '"{" SPACE "}"'
        member = self._named("p", f'TEXT ":" SPACE {self._rule(free)}')
        return f'"{{" SPACE ({member} ("," SPACE {member})* SPACE)? "}}"'

    def _array(self, schema: Schema) -> str:
        first, rest = list(schema.get("prefixItems", ())), schema.get("items", True)
        if False in first:
            first, rest = first[: first.index(False)], False
        low = int(schema.get("minItems", 0))
        high = int(min(schema.get("maxItems", math.inf), len(first) if rest is False else MAX_COUNTED_ITEMS + 1))
        if low > high or low > MAX_COUNTED_ITEMS:
            return "json_array"
        first = first[:high]
        items = [self._rule(item) for item in first]
        inside = ""
        if high > len(items):
            item = self._rule(rest)
            more = self._named("i", f'"," SPACE {item}')
            needless = 0 if items else 1
            most = "" if high > MAX_COUNTED_ITEMS else high - len(items) - needless
            inside = f"{more}{{{max(0, low - len(items) - needless)},{most}}}"
            if not items:
                inside = f"{item} {inside}" if high > 1 else item
                inside = inside if low else f"({inside})?"
        for position in reversed(range(len(items))):
            separated = f'"," SPACE {items[position]}' if position else items[position]
            inside = f"{separated} {inside}" if position < low else f"({separated} {inside})?"
        return f'"[" SPACE {inside} SPACE "]"'

    def _string(self, schema: Schema) -> str:
        low, high = int(schema.get("minLength", 0)), schema.get("maxLength", math.inf)
        counted = {"minLength": low} if 0 < low <= min(high, MAX_COUNTED_CHARACTERS) else {}
        counted |= {"maxLength": int(high)} if low <= high <= MAX_COUNTED_CHARACTERS else {}
        text: Schema = {"type": "string", **counted}
        leaf = text
        for keyword in ("format", "pattern"):
            if keyword in schema and (keyword == "pattern" or schema["format"] in FORMATS):
                leaf = self._narrowed(leaf, keyword, schema[keyword])
        if leaf.get("format") == "email":
            return f"{_json(leaf)} | {_json({'type': 'string', 'pattern': RARE_EMAIL})}"
        if leaf != text:
            return _json(leaf)
        if not counted:
            return "TEXT"
        return self._named("T", f'/"{_CHARACTER}{{{counted.get("minLength", 0)},{counted.get("maxLength", "")}}}"/')

    def _narrowed(self, leaf: Schema, keyword: str, value: str) -> Schema:
        narrowed = {**leaf, keyword: value}
        if (keyword == "format" or (_is_small(value) and enforced_size(value) is not None)) and _leaf_compiles(
            _json(narrowed)
        ):
            return narrowed
        self.loosened.add(keyword)
        return leaf

    def _number(self, schema: Schema) -> str:
        """A number in any notation; within bounds, as far as they are exact, if it has no exponent."""
        kind = schema["type"]
        bounds = {key: value for key, value in schema.items() if key != "type" and abs(value) <= MAX_INTEGER}
        least = max((bounds[key] for key in ("minimum", "exclusiveMinimum") if key in bounds), default=-math.inf)
        most = min((bounds[key] for key in ("maximum", "exclusiveMaximum") if key in bounds), default=math.inf)
        if not bounds or least >= most:
            return "INTEGER" if kind == "integer" else "NUMBER"
        return f"{_json({'type': kind, **bounds})} | {'NOTATION' if kind == 'integer' else 'EXPONENT'}"


def _free_members(schema: Schema) -> Any:
    """The schema of members that are not declared; False if there are none."""
    others = schema.get("additionalProperties", True)
    patterns = list(schema.get("patternProperties", {}).values())
    if not patterns or others is True:
        return others
    return {"anyOf": patterns if others is False else [*patterns, others]}


def _forms(value: Any) -> list[str]:
    """The literals of a plain value; an integer has two, a list or object none."""
    if isinstance(value, list | dict):
        return []
    texts = [_text(value)]
    if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        texts = [str(int(value)), f"{int(value)}.0"]
    return [_literal(text) for text in texts]


def _is_small(pattern: str) -> bool:
    """Whether the automaton of a pattern stays small.

    A long count makes it large where it may begin at several places of a text: in a pattern that is not anchored, after
    or inside an unbounded repetition, after another range, or inside another count.
    """
    bare = top = _ATOMS.sub("a", pattern)
    while top != (top := _GROUP.sub("", top)):
        pass
    repeated = _COUNT.findall(bare)
    counts = [max(int(most or least), 1) for least, most in repeated]
    ranges = [int(most) for least, most in repeated if most and most != least]
    if len(pattern) > MAX_PATTERN_CHARACTERS or math.prod(counts) > MAX_REPETITIONS:
        return False
    nested = "){" in bare
    if not top.startswith("^") or "|" in top or re.search(r"[*+]|,\}", bare):
        return max(counts, default=0) <= 12 and (math.prod(counts) if nested else sum(counts)) <= 24
    return math.prod(ranges) <= 200 or (len(ranges) == 1 and not nested)


# Escapes and classes; then groups without others inside, and counts.
_ATOMS = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]", re.DOTALL)
_GROUP = re.compile(r"\([^()]*\)")
_COUNT = re.compile(r"\{(\d+),?(\d*)\}")


def _json(schema: Schema) -> str:
    return f"%json {json.dumps(schema)}"


def _compiles(lark: str) -> bool:
    return not LLMatcher.validate_grammar(LLMatcher.grammar_from_lark(lark))


@lru_cache(CACHED_LEAVES)
def _leaf_compiles(leaf: str) -> bool:
    return _compiles(f"start: {leaf}")


# A value as JSON text, as the grammar spells it.
_text = json.JSONEncoder(ensure_ascii=False).encode


def _literal(text: str) -> str:
    return _text(text).replace("\x7f", "\\u007f")
