"""Grammars of calls, walked through the token mask with the real model's tokenizer."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer
from support.mask_walk import at_random, never_ending, tokenizer_of, walk

from alpha_umi.contract.tool_schema import ToolSchemaError
from alpha_umi.roles.caller import parse_call
from alpha_umi.roles.turns import Tool
from alpha_umi.serving.calls.grammar import call_grammar, clear_grammar_cache

BOUND = 256
Json = dict[str, Any]


def tool(properties: Json | None = None, required: list[str] | None = None, name: str = "tool") -> Tool:
    schema = {"type": "object", "properties": properties or {}, "required": required or []}
    return Tool(name, "", schema)


@pytest.fixture(scope="module")
def tokenizer(embedded_model: Path) -> LLTokenizer:
    return tokenizer_of(embedded_model)


def accepts(tokenizer: LLTokenizer, lark: str, text: str) -> bool:
    """Whether a model could write exactly this text and end."""
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(lark))
    tokens = tokenizer.tokenize_str(text)
    return bool(
        matcher.validate_tokens(tokens) == len(tokens) and matcher.consume_tokens(tokens) and matcher.is_accepting()
    )


def call(arguments: Any, name: str = "tool", **form: Any) -> str:
    return f"Action: {name}\nAction Input: {json.dumps(arguments, ensure_ascii=False, **form)}"


CITY = tool({"city": {"type": "string"}, "day": {"type": "integer", "minimum": 1, "maximum": 31}}, ["city"])
NESTED = tool(
    {
        "where": {
            "type": "object",
            "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
            "required": ["x", "y"],
        },
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1},
        "mode": {"enum": ["fast", 3, None]},
        "on": {"type": "boolean"},
        "maybe": {"type": ["string", "null"]},
    },
    ["where"],
)


@pytest.mark.parametrize(
    ("offered", "arguments"),
    [
        (CITY, {"city": "Oslo"}),
        (CITY, {"city": "Oslo", "day": 31}),
        (CITY, {"city": 'a "quoted" \\ name\n\té'}),
        (CITY, {"city": ""}),
        (NESTED, {"where": {"x": 1, "y": -2.5}}),
        (NESTED, {"where": {"x": 0.000125, "y": -0.5}, "tags": ["a", "b"], "mode": 3, "on": False, "maybe": None}),
        (NESTED, {"where": {"x": 1, "y": 2}, "mode": None, "maybe": "x"}),
        (tool(), {}),
        (Tool("tool"), {}),
    ],
)
@pytest.mark.parametrize("form", [{}, {"indent": 2}, {"separators": (",", ":")}], ids=["plain", "indented", "compact"])
def test_right_calls_can_be_written(tokenizer: LLTokenizer, offered: Tool, arguments: Json, form: Json) -> None:
    assert accepts(tokenizer, call_grammar([offered], token_bound=BOUND).lark, call(arguments, **form))


@pytest.mark.parametrize(
    ("offered", "text"),
    [
        (CITY, call({"day": 3})),
        (CITY, call({"city": 3})),
        (CITY, call({"city": "Oslo", "day": 32})),
        (CITY, call({"city": "Oslo", "day": 3.5})),
        (CITY, call({"city": "Oslo", "mood": "good"})),
        (CITY, call({"city": "Oslo"}, name="other")),
        (CITY, call({"city": "Oslo"}) + "}"),
        (CITY, call({"city": "x" * 300})),
        (CITY, call([])),
        (CITY, "I call. " + call({"city": "Oslo"})),
        (NESTED, call({"where": {"x": 1, "y": 2}, "tags": []})),
        (NESTED, call({"where": {"x": 1, "y": 2}, "tags": ["a"] * 17})),
        (NESTED, call({"where": {"x": 1}})),
        (NESTED, call({"where": {"x": 1, "y": 2}, "mode": "slow"})),
        (NESTED, call({"where": {"x": 1.1234567, "y": 2}})),
        (tool(), call({"a": 1})),
    ],
)
def test_wrong_calls_cannot(tokenizer: LLTokenizer, offered: Tool, text: str) -> None:
    assert not accepts(tokenizer, call_grammar([offered], token_bound=BOUND).lark, text)


@pytest.mark.parametrize(
    "name", ['we"ird', "back\\slash", "näme", "a/b", "{}", "Next:", "日本", "start", "%json", "\x7f", "\u2028"]
)
def test_names_of_any_letters(tokenizer: LLTokenizer, name: str) -> None:
    lark = call_grammar([tool(name=name)], token_bound=BOUND).lark
    assert accepts(tokenizer, lark, call({}, name=name))
    assert not accepts(tokenizer, lark, call({}, name="other"))


def test_a_hundred_tools_each_with_its_own_arguments(tokenizer: LLTokenizer) -> None:
    tools = [tool({f"p{i}": {"type": "integer"}}, [f"p{i}"], name=f"tool_{i}") for i in range(100)]
    lark = call_grammar(tools, token_bound=BOUND).lark
    assert accepts(tokenizer, lark, call({"p7": 1}, name="tool_7"))
    assert not accepts(tokenizer, lark, call({"p8": 1}, name="tool_7"))
    assert not accepts(tokenizer, lark, call({"p7": 1}, name="tool_100"))


WIDE = [
    tool({f"text_{i}": {"type": "string"} for i in range(6)}, [f"text_{i}" for i in range(6)]),
    tool({"rows": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}}, ["rows"]),
    tool({"n": {"type": "number"}, "m": {"type": "integer"}}, ["n", "m"]),
    tool({"free": True, "list": {"type": "array"}}, ["free", "list"]),
    NESTED,
]


@pytest.mark.parametrize("number", range(len(WIDE)))
@pytest.mark.parametrize("bound", [128, 256])
def test_whatever_a_model_does_the_strict_grammar_closes(tokenizer: LLTokenizer, number: int, bound: int) -> None:
    grammar = call_grammar([WIDE[number]], token_bound=bound, strict=True)
    assert grammar.worst_tokens <= bound
    text, tokens = walk(tokenizer, grammar.lark, never_ending(tokenizer), at_most=bound)
    assert tokens <= bound + 1  # the end of the turn
    assert parse_call(text).text == text


@pytest.mark.parametrize("number", range(len(WIDE)))
def test_plain_characters_close_the_first_grammar(tokenizer: LLTokenizer, number: int) -> None:
    grammar = call_grammar([WIDE[number]], token_bound=BOUND)
    assert grammar.worst_tokens <= BOUND
    for seed in range(5):
        text, _ = walk(tokenizer, grammar.lark, at_random(seed, tokenizer), at_most=6 * BOUND)
        jsonschema_rs.validate(dict(WIDE[number].parameters), parse_call(text).arguments)


LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 2, "maxLength": 5},
        {"type": "integer"},
        {"type": "integer", "minimum": -3, "exclusiveMaximum": 12},
        {"type": "number", "minimum": -1.5, "maximum": 2.5},
        {"type": "number", "minimum": 0.25, "maximum": 10},
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
        {"type": "number", "exclusiveMaximum": -3},
        {"type": "integer", "multipleOf": 3, "minimum": -7, "maximum": 7},
        {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "integer"}], "minItems": 2, "maxItems": 2},
        {"type": "string", "minLength": 1, "enum": ["", "a", 3]},
        {"type": "integer", "anyOf": [{"minimum": 5, "maximum": 9}, {"maximum": -5}]},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["a", 'q"uote', 1, None, True]},
        {"const": "fixed"},
        {"type": ["integer", "null"]},
        {"anyOf": [{"type": "boolean"}, {"type": "string", "maxLength": 3}]},
    ]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda items, low: {"type": "array", "items": items, "minItems": low, "maxItems": low + 2},
            inner,
            st.integers(0, 2),
        ),
        st.builds(
            lambda properties, keep: {
                "type": "object",
                "properties": properties,
                "required": sorted(properties)[:keep],
            },
            st.dictionaries(st.sampled_from(["a", "b c", 'd"', "é"]), inner, max_size=3),
            st.integers(0, 3),
        ),
    ),
    max_leaves=5,
)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("text", ["Zürich", "東京", "a😀b", "x" * 20])
def test_texts_of_any_script(tokenizer: LLTokenizer, text: str, strict: bool) -> None:
    assert accepts(tokenizer, call_grammar([CITY], token_bound=BOUND, strict=strict).lark, call({"city": text}))


@pytest.mark.parametrize(
    ("written", "allowed"), [(r"\ud83d\ude00", True), (r"\u00e9", True), (r"\ud83d", False), (r"\ude00", False)]
)
def test_escapes_are_complete_characters(tokenizer: LLTokenizer, written: str, allowed: bool) -> None:
    text = f'Action: tool\nAction Input: {{"city": "{written}"}}'
    assert accepts(tokenizer, call_grammar([CITY], token_bound=BOUND).lark, text) == allowed


@given(
    properties=st.dictionaries(st.sampled_from(["x", "y z", "\\"]), SCHEMAS, max_size=3),
    keep=st.integers(0, 3),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_every_walk_is_a_valid_call(tokenizer: LLTokenizer, properties: Json, keep: int, seed: int) -> None:
    offered = tool(properties, sorted(properties)[:keep])
    lark = call_grammar([offered], token_bound=1_024).lark
    text, _ = walk(tokenizer, lark, at_random(seed, tokenizer), at_most=6_144)
    result = parse_call(text)
    assert (result.name, result.text) == ("tool", text)
    jsonschema_rs.validate(dict(offered.parameters), result.arguments)


def test_arguments_in_any_order_each_once(tokenizer: LLTokenizer) -> None:
    lark = call_grammar([CITY], token_bound=BOUND).lark
    assert accepts(tokenizer, lark, call({"day": 3, "city": "Oslo"}))
    assert not accepts(tokenizer, lark, call({"day": 3}))
    assert not accepts(tokenizer, lark, 'Action: tool\nAction Input: {"city": "Oslo", "city": "Rome"}')


def test_of_many_optional_arguments_as_many_as_there_is_room_for(tokenizer: LLTokenizer) -> None:
    names = [f"option_{i:02}" for i in range(60)]
    many = tool({"must": {"type": "string"}, **{name: {"type": "string"} for name in names}}, ["must"])
    lark = call_grammar([many], token_bound=BOUND).lark
    assert accepts(tokenizer, lark, call({"option_59": "y", "must": "x", "option_00": "z"}))
    assert not accepts(tokenizer, lark, call({"option_59": "y"}))
    assert not accepts(tokenizer, lark, call({"must": "x", **dict.fromkeys(names, "")}))


def test_optional_arguments_without_any_room_can_be_left_out(tokenizer: LLTokenizer) -> None:
    tight = tool({"must": {"type": "boolean"}, "long": {"type": "string", "minLength": 500}}, ["must"])
    lark = call_grammar([tight], token_bound=BOUND).lark
    assert accepts(tokenizer, lark, call({"must": True}))
    assert not accepts(tokenizer, lark, call({"must": True, "long": "x" * 500}))


def test_objects_of_more_members_than_a_rule_has_bits(tokenizer: LLTokenizer) -> None:
    flags = {f"f{i}": {"type": "boolean"} for i in range(100)}
    lark = call_grammar([tool(flags, ["f99"])], token_bound=4_096).lark
    assert accepts(tokenizer, lark, call({**{f"f{i}": True for i in range(63)}, "f99": True}))
    with pytest.raises(ToolSchemaError, match="requires 65 members"):
        call_grammar([tool(flags, list(flags)[:65])], token_bound=4_096)


def test_one_of_several_forms(tokenizer: LLTokenizer) -> None:
    forms = [{"properties": {name: {"type": "integer"}}, "required": [name]} for name in ("id", "number")]
    lark = call_grammar([Tool("tool", "", {"type": "object", "anyOf": forms})], token_bound=BOUND).lark
    assert accepts(tokenizer, lark, call({"id": 1}))
    assert accepts(tokenizer, lark, call({"number": 1}))
    assert not accepts(tokenizer, lark, call({}))


def test_full_identifiers_and_paragraphs(tokenizer: LLTokenizer) -> None:
    post = tool({"id": {"type": "integer"}, "text": {"type": "string"}}, ["id", "text"])
    arguments = {"id": 1_755_555_555_555_555_555, "text": "A paragraph. " * 30}
    assert accepts(tokenizer, call_grammar([post], token_bound=512).lark, call(arguments))


def test_required_arguments_without_room_are_refused() -> None:
    with pytest.raises(ToolSchemaError, match="required arguments alone can take") as caught:
        call_grammar(
            [CITY, tool({f"p{i}": {"type": "string"} for i in range(60)}, [f"p{i}" for i in range(60)], "wide")],
            token_bound=64,
        )
    assert caught.value.tool in ("tool", "wide")
    assert "max_tokens" in caught.value.remedy


def test_too_much_to_choose_from_is_refused() -> None:
    tools = [
        tool({f"p{j}": {"enum": [f"{i}-{j}-{k}" for k in range(90)]} for j in range(15)}, name=f"t{i}")
        for i in range(100)
    ]
    with pytest.raises(ToolSchemaError, match="too large") as caught:
        call_grammar(tools, token_bound=BOUND)
    assert caught.value.tool.startswith("t")


def test_a_wide_tool_is_fitted_without_trying_everything() -> None:
    inner = {"type": "object", "properties": {f"q{i}": {"type": "string"} for i in range(12)}}
    wide = tool({f"p{i}": inner for i in range(120)})
    started = time.perf_counter()
    assert call_grammar([wide], token_bound=BOUND).worst_tokens <= BOUND
    assert time.perf_counter() - started < 5


def test_a_grammar_is_made_once() -> None:
    clear_grammar_cache()
    tools = [tool({f"p{i}": {"type": "string"}}, name=f"t{i}") for i in range(100)]
    started = time.perf_counter()
    first = call_grammar(tools, token_bound=BOUND)
    made = time.perf_counter()
    assert call_grammar(tools, token_bound=BOUND) is first
    assert time.perf_counter() - made < made - started
