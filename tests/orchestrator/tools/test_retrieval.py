"""Retrieval ranks tools by the words of a text."""

from __future__ import annotations

import pytest

from orchestrator.tools.model import EffectClass, Tool
from orchestrator.tools.retrieval import ToolIndex


def tool(name: str, description: str = "", **parameters: str) -> Tool:
    properties = {key: {"type": "string", "description": text} for key, text in parameters.items()}
    return Tool(name, description, {"type": "object", "properties": properties}, "s", EffectClass.READ)


TOOLS = (
    tool("listUserRepos", "All of somebody's projects"),
    tool("get_weather", "How warm it is", city="Name of a town"),
    tool("HTTPStatus", "Meaning of a code"),
    tool("cancel_order", "Stops a purchase"),
    tool("wetter", "Das Wetter in Zürich"),
    tool("x", ""),
)


@pytest.mark.parametrize(
    ("query", "best"),
    [
        ("Which repo has the most stars?", "listUserRepos"),
        ("users", "listUserRepos"),
        ("weather in some towns", "get_weather"),
        ("what does the http code 418 mean", "HTTPStatus"),
        ("Please cancel both orders.", "cancel_order"),
        ("zürich", "wetter"),
        ("x", "x"),
    ],
)
def test_the_words_of_a_query_lead_to_a_tool(query: str, best: str) -> None:
    assert ToolIndex({each.name: each for each in TOOLS}).ranked(query)[0] == best


def test_a_query_without_a_known_word_leaves_the_order() -> None:
    names = [each.name for each in TOOLS]
    index = ToolIndex({each.name: each for each in TOOLS})
    for query in ("", "the of and", "quantum"):
        assert index.ranked(query) == names


def test_the_rank_of_tools_without_words() -> None:
    assert ToolIndex({"_": tool("_")}).ranked("anything") == ["_"]
