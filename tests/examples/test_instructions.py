"""The example instructions: the orchestrator can make their calls, and the tools answer with their facts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from alpha_umi.contract.tool_schema import full_validator
from examples.facts import has_words, rounds_to
from examples.tool_api.app import create_app
from orchestrator.tools.model import EffectClass
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.parse import parse_document
from orchestrator.tools.sources_file import load_sources_file

Json = dict[str, Any]

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*instructions.jsonl"))
INSTRUCTIONS = [json.loads(line) for file in FILES for line in file.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def operations() -> dict[str, Operation]:
    document = json.dumps(create_app().openapi()).encode()
    (source,) = load_sources_file(EXAMPLES / "tool_sources.yaml")
    parsed, _ = parse_document(
        document, source_name=source.name, base_url=None, document_url=source.url, default_effect=source.effect
    )
    return {operation.tool.name: operation for operation in parsed}


async def call(client: httpx.AsyncClient, tool: str, arguments: Json) -> httpx.Response:
    """Call an operation by its id, as the document describes it."""
    path, method, operation = next(
        (path, method, operation)
        for path, methods in create_app().openapi()["paths"].items()
        for method, operation in methods.items()
        if operation["operationId"] == tool
    )
    places: Json = {"path": {}, "query": {}, "header": {}, "body": {}}
    where = {parameter["name"]: parameter["in"] for parameter in operation.get("parameters", [])}
    for name, value in arguments.items():
        places[where.get(name, "body")][name] = value
    address = path.format_map(places["path"])
    return await client.request(
        method, address, params=places["query"], headers=places["header"], json=places["body"] or None
    )


def leaves(value: Any) -> Iterator[str | float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)
    elif value is not None:
        yield value


def holds(leaf: str | float, fact: str | float) -> bool:
    """A number matches a fact that it rounds to; a text contains it as complete words."""
    if isinstance(leaf, str) or isinstance(fact, str):
        return isinstance(leaf, str) and isinstance(fact, str) and has_words(leaf, fact)
    return rounds_to(leaf, fact)


def test_there_are_twice_twenty_and_they_use_every_tool(operations: dict[str, Operation]) -> None:
    assert [len(file.read_text("utf-8").splitlines()) for file in FILES] == [20, 20]
    assert len({entry["id"] for entry in INSTRUCTIONS}) == len({entry["instruction"] for entry in INSTRUCTIONS}) == 40
    assert {call["tool"] for entry in INSTRUCTIONS for call in entry["calls"]} == set(operations)


def test_nothing_here_writes(operations: dict[str, Operation]) -> None:
    assert {operation.tool.effect for operation in operations.values()} == {EffectClass.READ}


@pytest.mark.parametrize("entry", INSTRUCTIONS, ids=lambda entry: str(entry["id"]))
async def test_the_calls_are_valid_and_give_the_facts(
    client: httpx.AsyncClient, operations: dict[str, Operation], entry: Json
) -> None:
    answered: list[str | float] = []
    for expected in entry["calls"]:
        problems = full_validator(operations[expected["tool"]].tool.parameters).iter_errors(expected["arguments"])
        assert [error.message for error in problems] == []
        response = await call(client, expected["tool"], expected["arguments"])
        assert response.status_code == 200, response.text
        answered += leaves(response.json())
    assert entry["facts"]
    for fact in entry["facts"]:
        assert any(holds(leaf, fact) for leaf in answered), (fact, answered)
