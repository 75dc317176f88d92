"""Grammars of calls: what can be written, by bytes, and what cannot."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher
from support.mask_walk import TOKENIZER, walk

from alpha_umi.contract.tool_schema import check_schema, full_validator
from alpha_umi.roles.caller import parse_call, parse_json_call
from alpha_umi.roles.turns import Tool
from alpha_umi.serving.calls.grammar import answer_grammar, call_grammar, clear_grammar_cache
from alpha_umi.serving.engine import Grammar

FORMS: tuple[dict[str, Any], ...] = ({"ensure_ascii": False}, {"indent": 2}, {"separators": (",", ":")})
Json = dict[str, Any]


def tool(properties: Json | None = None, required: list[str] | None = None, name: str = "tool", **more: Any) -> Tool:
    schema = {"type": "object", "properties": properties or {}, "required": required or [], **more}
    return Tool(name, "", schema)


def argument(schema: Any, **definitions: Any) -> Tool:
    """A tool whose one argument `p` has this schema."""
    return tool({"p": schema}, ["p"], additionalProperties=False, **{"$defs": definitions})


def accepts(offered: Tool | list[Tool], text: str) -> bool:
    """Whether a model could write exactly this text as a call of what is offered."""
    return matches(call_grammar(offered if isinstance(offered, list) else [offered]), text)


def matches(grammar: Grammar, text: str) -> bool:
    """Whether a model could write exactly this text and end."""
    matcher = LLMatcher(TOKENIZER, LLMatcher.grammar_from_lark(grammar.lark))
    tokens = TOKENIZER.tokenize_str(text)
    return bool(
        matcher.validate_tokens(tokens) == len(tokens) and matcher.consume_tokens(tokens) and matcher.is_accepting()
    )


def call(arguments: Any, name: str = "tool", **form: Any) -> str:
    return f"Action: {name}\nAction Input: {json.dumps(arguments, **({'ensure_ascii': False} | form))}"


CITY = tool({"city": {"type": "string"}, "day": {"type": "integer", "minimum": 1, "maximum": 31}}, ["city"])
TREE = {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "size": {"type": "integer"}}}
SHAPE = {
    "type": "object",
    "properties": {"kind": {"enum": ["circle", "box"]}},
    "required": ["kind"],
    "oneOf": [
        {"properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}}, "required": ["radius"]},
        {"properties": {"kind": {"const": "box"}, "side": {"type": "number"}}, "required": ["side"]},
    ],
}
# What one alternative declares is a free member of the other, until the discriminator is written.
RULE = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"about": {"type": "object", "properties": {member: kind}}, "kind": {"const": member}},
            "required": ["kind"],
        }
        for member, kind in (("text", {"type": "string"}), ("seconds", {"type": "integer"}))
    ]
}
PAIR = {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 1, "items": False}
BASE = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
JOINED = {"allOf": [BASE, {"properties": {"name": {"type": "string"}}, "additionalProperties": {"type": "integer"}}]}
TREE_OF_TEXTS = {"additionalProperties": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/t"}]}, "type": "object"}


@pytest.mark.parametrize(
    ("offered", "arguments"),
    [
        (CITY, {"day": 31, "city": 'a "quoted" \\ name\n\té\x7f😀東京'}),
        (CITY, {"city": "", "mood": {"good": [1, None]}}),
        (Tool("tool"), {}),
        (tool(), {"a": 1}),
        (argument({}), {"p": {"a": [1.5e-7, {"b": None}], "": []}}),
        (argument({"type": "object"}), {"p": {"any": {"thing": [True]}}}),
        (argument({"type": "object", "additionalProperties": {"type": "string"}}), {"p": {"A": "b", "C": ""}}),
        (argument({"type": "object", "patternProperties": {"^x-": {"type": "integer"}}}), {"p": {"x-a": 1, "b": ""}}),
        (argument({"$ref": "#/$defs/tree"}, tree=TREE), {"p": {"size": 1, "left": {"left": {"left": {}}, "size": 2}}}),
        (argument(TREE_OF_TEXTS, t=TREE_OF_TEXTS), {"p": {"a": {"b": {"c": "d"}}, "e": "f"}}),
        (argument(SHAPE), {"p": {"radius": 2, "kind": "circle"}}),
        (argument(SHAPE), {"p": {"kind": "box", "side": 1}}),
        (argument(RULE), {"p": {"about": {"seconds": 7}, "kind": "text"}}),
        (argument(RULE), {"p": {"about": {"seconds": "7", "text": "a"}, "kind": "text"}}),
        (argument(PAIR), {"p": [1]}),
        (argument(PAIR), {"p": [1, "a"]}),
        (argument(JOINED), {"p": {"name": "n", "id": 1, "free": 3}}),
        (argument({"type": "array", "minItems": 2}), {"p": [1, "a", [], {}, None]}),
        (argument({"type": "string", "maxLength": 4_000}), {"p": "x" * 4_000}),
        (argument({"type": "string"}), {"p": "A paragraph.\n" * 400}),
        (argument({"type": "array", "items": {"type": "integer"}}), {"p": list(range(1_500))}),
        (argument({"type": "string", "pattern": "^(?=.*[0-9])[a-z0-9]+$"}), {"p": "a1"}),
        (argument({"type": "string", "pattern": "^[a-z]{1,100000}$"}), {"p": "abc"}),
        (argument({"type": "string", "pattern": r"^((\w{1,50}){1,50}){1,50}$"}), {"p": "abc"}),
        (argument({"type": "string", "format": "uuid"}), {"p": "123e4567-e89b-12d3-a456-426614174000"}),
        (argument({"type": "string", "format": "date-time"}), {"p": "2024-05-01t10:00:00.5+02:00"}),
        (argument({"type": "string", "format": "email", "maxLength": 30}), {"p": "ada+x@mail.example.org"}),
        (argument({"type": "string", "format": "email"}), {"p": '"ada lovelace"@example.org'}),
        (argument({"type": "string", "format": "date", "maxLength": 8}), {"p": "20240501"}),
        (argument({"type": "string", "format": "email", "maxLength": 3}), {"p": "a@b"}),
        (argument({"type": "string", "format": "email"}), {"p": "ada@[IPv6:::1]"}),
        (argument({"type": "string", "format": "uri"}), {"p": "https://example.org/a?b=%20#c"}),
        (argument({"type": "string", "format": "ipv6"}), {"p": "::ffff:192.168.0.1"}),
        (argument({"type": "string", "format": "snowflake"}), {"p": "7"}),
        (argument({"type": "number", "minimum": 1e-9}), {"p": 1.5e-9}),
        (argument({"type": "number", "minimum": -90, "maximum": 90}), {"p": -89.999999999}),
        (argument({"type": "number", "minimum": -1e308, "maximum": 1e308}), {"p": 1e200}),
        (argument({"type": "integer", "minimum": 0, "maximum": 2**63 - 1}), {"p": 2**53 + 1}),
        (argument({"type": "integer", "minimum": 3}), {"p": 5.0}),
        (argument({"type": "integer"}), {"p": 10**25}),
        (argument({"type": "number", "minimum": 1, "exclusiveMinimum": True}), {"p": 1.5}),
        (argument({"enum": [1, {"b": [1, {"c": None}], "a": "x"}]}), {"p": {"a": "x", "b": [1.0, {"c": None}]}}),
        (argument({"type": "array", "items": [{"type": "integer"}, {"type": "string"}]}), {"p": [1, "a", None]}),
    ],
)
@pytest.mark.parametrize("form", FORMS, ids=["plain", "indented", "compact"])
def test_right_calls_can_be_written(offered: Tool, arguments: Json, form: Json) -> None:
    if offered.parameters:
        full_validator(offered.parameters).validate(arguments)
    assert accepts(offered, call(arguments, **form))


@pytest.mark.parametrize(
    ("offered", "text"),
    [
        (CITY, call({"day": 3})),
        (CITY, call({"city": 3})),
        (CITY, call({"city": "Oslo", "day": 32})),
        (CITY, call({"city": "Oslo", "day": 3.5})),
        (CITY, call({"city": "Oslo"}, name="other")),
        (CITY, call({"city": "Oslo"}) + "}"),
        (CITY, call([])),
        (CITY, "I call. " + call({"city": "Oslo"})),
        (CITY, call({"city": "Oslo"}).removesuffix("}") + ', "city": "Rome"}'),
        (CITY, call({"city": "Oslo"}).replace(":  ", ":   ").replace('"city":', '"city" :')),
        (Tool("tool"), call({"a": 1})),
        (tool(additionalProperties=False), call({"a": 1})),
        (argument({"type": "string"}), call({"p": "x", "q": 1})),
        (argument({"type": "object", "additionalProperties": {"type": "string"}}), call({"p": {"A": 3}})),
        (argument({"$ref": "#/$defs/tree"}, tree=TREE), call({"p": {"left": {"left": 3}}})),
        (argument(SHAPE), call({"p": {"kind": "circle", "side": 1}})),
        (argument(SHAPE), call({"p": {"kind": 3}})),
        (argument(PAIR), call({"p": []})),
        (argument(PAIR), call({"p": [1, "a", "b"]})),
        (argument(JOINED), call({"p": {"name": "n"}})),
        (argument(JOINED), call({"p": {"id": 1, "free": "x"}})),
        (argument({"type": "array", "items": {"type": "boolean"}, "maxItems": 2}), call({"p": [True] * 3})),
        (argument({"type": "string", "minLength": 2}), call({"p": "x"})),
        (argument({"type": "string", "pattern": "^a+$"}), call({"p": "b"})),
        (argument({"type": "string", "format": "date"}), call({"p": "May 1"})),
        (argument({"enum": ["a", 3, None]}), call({"p": 4})),
    ],
)
def test_wrong_calls_cannot(offered: Tool, text: str) -> None:
    assert not accepts(offered, text)


@pytest.mark.parametrize(
    "name", ['we"ird', "back\\slash", "näme", "a/b", "{}", "Next:", "日本", "start", "%json", "\x7f", "\u2028"]
)
def test_names_of_any_letters(name: str) -> None:
    offered = tool({name: {"type": "integer"}}, name=name)
    assert accepts(offered, call({name: 1}, name=name))
    assert not accepts(offered, call({name: "x"}, name=name))
    assert not accepts(offered, call({}, name="other"))


@pytest.mark.parametrize(
    ("written", "allowed"), [(r"\ud83d\ude00", True), (r"\u00e9", True), (r"\ud83d", False), (r"\ude00", False)]
)
def test_escapes_are_complete_characters(written: str, allowed: bool) -> None:
    assert accepts(CITY, f'Action: tool\nAction Input: {{"city": "{written}"}}') == allowed


NAMES = st.sampled_from(["a", "b", 'c"', "é"])
TEXTS = st.sampled_from(["", "a", "ab", "x1", "2024-05-01", "é\n"])
NUMBERS = st.sampled_from([0, 1, -1, 2, 2.5, -0.125, 7, 1e-9, 1e21, 5.0])
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)
LENGTHS = st.integers(0, 3)
BOUNDS = st.sampled_from([-1, 0, 1, 2.5, 1e-7])
REFERENCES = st.sampled_from([{"$ref": "#/$defs/d"}, {"$ref": "#"}])
LEAVES = st.one_of(
    st.sampled_from([True, {}, {"type": "boolean"}, {"type": "null"}, {"type": ["string", "integer"]}]),
    st.fixed_dictionaries({"enum": st.lists(VALUES, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"const": VALUES}),
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": LENGTHS,
            "maxLength": LENGTHS,
            "pattern": st.sampled_from(["^a", "[0-9]", "^.{1,2}$", "(?=a)", r"\S"]),
            "format": st.sampled_from(["date", "unknown"]),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["number", "integer"])},
        optional={
            "minimum": BOUNDS,
            "maximum": BOUNDS,
            "exclusiveMinimum": BOUNDS,
            "multipleOf": st.sampled_from([0.5, 2]),
        },
    ),
)


def _keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, max_size=3)
    closed = st.one_of(st.booleans(), inner)
    # A reference stands below a member or an item, where it may be recursive.
    part = st.one_of(inner, REFERENCES)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", ["object", "array"]]),
            "properties": st.dictionaries(NAMES, part, max_size=3),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "additionalProperties": closed,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=1),
            "propertyNames": st.just({"minLength": 1}),
            "minProperties": LENGTHS,
            "maxProperties": LENGTHS,
            "dependentRequired": st.just({"a": ["b"]}),
            "unevaluatedProperties": st.booleans(),
            "items": st.one_of(st.booleans(), part),
            "prefixItems": some,
            "minItems": LENGTHS,
            "maxItems": LENGTHS,
            "uniqueItems": st.booleans(),
            "contains": inner,
            "allOf": some,
            "anyOf": some,
            "oneOf": some,
            "not": inner,
            "if": inner,
            "then": inner,
            "dependentSchemas": named,
            "description": st.just("d"),
        },
    )


SCHEMAS = st.recursive(LEAVES, _keywords, max_leaves=8)
SETTINGS = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)


@given(schema=SCHEMAS, definition=SCHEMAS, values=st.lists(VALUES, min_size=1, max_size=10))
@SETTINGS
def test_every_valid_value_can_be_written(schema: Any, definition: Any, values: list[Any]) -> None:
    offered = argument(schema, d=definition)
    check_schema(offered.parameters)
    validator = full_validator(offered.parameters)
    for value in values:
        if validator.is_valid({"p": value}):
            assert accepts(offered, call({"p": value})), value


@given(schema=SCHEMAS, definition=SCHEMAS, seed=st.integers(0, 2**20))
@SETTINGS
def test_no_way_through_a_grammar_ends_before_the_call_does(schema: Any, definition: Any, seed: int) -> None:
    lark = call_grammar([argument(schema, d=definition)]).lark
    text, complete = walk(lark, seed, at_most=1_000)
    if complete:
        assert parse_call(text).text == text


def test_a_call_as_a_json_object() -> None:
    tools = [tool({"city": {"type": "string"}}, ["city"], 'get "it"', additionalProperties=False), tool(name="now")]
    grammar = call_grammar(tools, as_json=True)
    text = json.dumps({"name": 'get "it"', "arguments": {"city": "Oslo"}})
    assert matches(grammar, text)
    assert parse_json_call(text).text == 'Action: get "it"\nAction Input: {"city": "Oslo"}'
    assert matches(grammar, '{"name": "now", "arguments": {}}')
    for other in (text[:-1], f"{text}}}", text.replace("city", "town"), text.replace("get", "set"), call({}, "now")):
        assert not matches(grammar, other)


def test_a_hundred_tools_each_with_its_own_arguments() -> None:
    tools = [
        tool({f"p{i}": {"type": "integer"}}, [f"p{i}"], f"tool_{i}", additionalProperties=False) for i in range(100)
    ]
    assert accepts(tools, call({"p7": 1}, name="tool_7"))
    assert not accepts(tools, call({"p8": 1}, name="tool_7"))
    assert not accepts(tools, call({"p7": 1}, name="tool_100"))


def test_objects_of_more_members_than_a_rule_has_bits() -> None:
    members = {f"f{i}": {"type": "boolean"} for i in range(100)}
    offered = tool(members, list(members)[30:])
    arguments = dict.fromkeys(reversed(members), True)
    assert accepts(offered, call(arguments))
    assert not accepts(offered, call({**arguments, "f0": 3}))
    assert not accepts(offered, call(dict.fromkeys(list(members)[31:], True)))


def test_more_alternatives_than_the_parser_follows() -> None:
    forms = [
        {"type": "object", "properties": {f"m{j}": {"type": "string"} for j in range(30)} | {f"own{i}": {}}}
        for i in range(60)
    ]
    assert call_grammar([argument({"anyOf": forms})]).loosened == {"alternatives"}
    assert accepts(argument({"anyOf": forms}), call({"p": {f"m{j}": "x" for j in range(30)}}))
    assert not accepts(argument({"anyOf": forms}), call({"p": 3}))


def doubling(depth: int) -> Json:
    """Every definition has the next one twice: 2 ** depth parts once unfolded."""
    both = {
        f"d{i}": {"allOf": [{"properties": {key: {"$ref": f"#/$defs/d{i + 1}"} for key in "ab"}}] * 2}
        for i in range(depth)
    }
    return {**both, f"d{depth}": {"type": "string"}}


@pytest.mark.parametrize(
    "offered",
    [
        argument({"$ref": "#/$defs/d0"}, **doubling(40)),
        argument({"allOf": [{"anyOf": [{"properties": {f"p{i}": {}}} for i in range(20)]}] * 10}),
        argument({"enum": [f"CARRIER_{i:05}" for i in range(20_000)]}),
        tool(
            {
                f"p{i}": {"type": "object", "properties": {f"q{j}": {"minLength": i + j} for j in range(12)}}
                for i in range(120)
            }
        ),
        argument({"anyOf": [{"const": {f"k{i}": {f"k{j}": i * j for j in range(20)}}} for i in range(300)]}),
    ],
    ids=["doubling", "product", "enum", "wide", "constants"],
)
def test_large_schemas_take_a_bounded_time(offered: Tool) -> None:
    clear_grammar_cache()
    started = time.perf_counter()
    check_schema(offered.parameters)
    lark = call_grammar([offered]).lark
    assert not LLMatcher(TOKENIZER, LLMatcher.grammar_from_lark(lark)).get_error()
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("pattern", "enforced"),
    [
        (r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", True),
        (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", True),
        (r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}$", True),
        (r"^(a|b)[a-z]{1,4000}$", True),
        (r"^(([0-9]{1,3})\.){3}[0-9]{1,3}$", True),
        (r"^#(([0-9a-f]{2}){3}|([0-9a-f]){3})$", True),
        (r".*a.{200}", False),
        (r"a[{*]{16}", False),
        (r"^(.*a.{0,60})+$", False),
        (r"^.{0,200}a.{0,200}$", False),
        (r"^(a.{1,50}){1,50}$", False),
        (r"^a|b.{200}$", False),
        (r"^[a-z]{1,99999999999}$", False),
        (r"^(?=a)", False),
        (r"^\p{L}{1,20}$", True),
        (r"^\p{L}{1,200}$", False),
        (r"^.{5000}$", False),
    ],
)
def test_patterns_whose_automaton_may_be_large_are_loosened(pattern: str, enforced: bool) -> None:
    grammar = call_grammar([argument({"type": "string", "pattern": pattern})])
    assert grammar.loosened == (set() if enforced else {"pattern"})


def test_a_grammar_is_made_once_and_each_tool_for_all_sets() -> None:
    clear_grammar_cache()
    tools = [tool({f"p{i}": {"type": "string", "pattern": f"^x{i}"}}, name=f"t{i}") for i in range(100)]
    started = time.perf_counter()
    first = call_grammar(tools)
    made = time.perf_counter()
    assert call_grammar(tools) == first
    assert time.perf_counter() - made < (made - started) / 2


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (CITY.parameters, {"city": "Oslo", "day": 3}, {"day": 3}),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], ["a"]),
        ({"enum": ["yes", "no"]}, "yes", "maybe"),
        ({"type": ["integer", "null"]}, None, "a"),
        ({**TREE, "$defs": {"tree": TREE}}, {"left": {"left": {}, "size": 1}}, {"left": {"size": "a"}}),
        ({"type": "object", "properties": {"inside": {"$ref": "#"}}}, {"inside": {"inside": {}}}, {"inside": 1}),
        ({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "boolean"}]}, "ab", "abc"),
    ],
)
def test_an_answer_of_a_schema(schema: Json, good: Any, bad: Any) -> None:
    grammar = answer_grammar(json.dumps(schema))
    assert not grammar.loosened
    for form in FORMS:
        assert matches(grammar, json.dumps(good, **form))
        assert not matches(grammar, json.dumps(bad, **form))
    assert not matches(grammar, f"{json.dumps(good)} and so on")
    text, complete = walk(grammar.lark, 7, at_most=5_000)
    assert not complete or full_validator(schema).is_valid(json.loads(text))


def test_any_answer() -> None:
    for text in ("{}", "[1, null]", '"a"', "-1.5e3"):
        assert matches(answer_grammar("{}"), text)
    assert not matches(answer_grammar("{}"), "It is so.")


def test_an_answer_whose_schema_is_too_large_is_any_value_of_its_type() -> None:
    words = {"enum": [f"{number:0100}" for number in range(6_000)]}
    schema = {"type": "object", "properties": {name: {**words, "title": name} for name in "abcdefgh"}}
    grammar = answer_grammar(json.dumps(schema))
    assert grammar.loosened == {"answer"}
    assert matches(grammar, '{"a": 1}')
    assert not matches(grammar, "1")
