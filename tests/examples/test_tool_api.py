"""The example tool API: its document, its 20 questions, its errors and its faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate
from serving_on_loopback import Serve

from examples.tool_api.app import create_app

Json = dict[str, Any]

INSTRUCTIONS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "examples" / "instructions.jsonl").read_text(encoding="utf-8").splitlines()
]


async def send(client: httpx.AsyncClient, document: Json, tool: str, arguments: Json) -> httpx.Response:
    """Call an operation by its id, as its description in the document says."""
    path, method, operation = next(
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation["operationId"] == tool
    )
    places = {parameter["name"]: parameter["in"] for parameter in operation.get("parameters", [])}
    query = {name: value for name, value in arguments.items() if places.get(name) == "query"}
    body = {name: value for name, value in arguments.items() if name not in places}
    for name, value in arguments.items():
        path = path.replace(f"{{{name}}}", str(value))
    return await client.request(method, path, params=query, json=body or None)


@pytest.fixture
def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app()), base_url="http://tools")


def test_the_document_is_valid_and_fit_for_small_models() -> None:
    document = create_app().openapi()
    validate(document)
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len(operations) >= 12
    for operation in operations:
        assert len(operation["operationId"]) <= 64
        assert operation["summary"]
        assert 0 < len(operation["description"]) <= 256
        assert all(parameter["description"] for parameter in operation.get("parameters", []))


def test_there_are_twenty_different_questions() -> None:
    assert len({entry["id"] for entry in INSTRUCTIONS}) == len({entry["instruction"] for entry in INSTRUCTIONS}) == 20
    assert len({entry["tool"] for entry in INSTRUCTIONS}) >= 12


@pytest.mark.parametrize("entry", INSTRUCTIONS, ids=lambda entry: str(entry["id"]))
async def test_the_facts_of_a_question_are_in_the_tools_answer(client: httpx.AsyncClient, entry: Json) -> None:
    document = (await client.get("/openapi.json")).json()
    response = await send(client, document, entry["tool"], entry["arguments"])
    assert response.status_code == 200, response.text
    for fact in entry["facts"]:
        assert fact in response.text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/country/portugl", 404, "did you mean Portugal?"),
        ("/sun/Osloo?date=2027-06-21", 404, "did you mean Oslo?"),
        ("/sun/Oslo?date=tomorrow", 422, "date"),
        ("/now?zone=Europe/Lisboa", 404, "Europe/Lisbon"),
        ("/convert-unit?value=1&from_unit=mile&to_unit=kilogram", 404, "different things"),
        ("/holidays/XX/2027", 404, "no country with known holidays"),
        ("/shift?date=9999-12-31&days=5", 404, "between the years"),
    ],
)
async def test_what_it_does_not_know_it_says(client: httpx.AsyncClient, path: str, status: int, said: str) -> None:
    response = await client.get(path)
    assert (response.status_code, said in response.text) == (status, True), response.text


@pytest.mark.parametrize(
    ("mode", "status"), [("error_4xx", 400), ("error_5xx", 500), ("not_json", 200), ("too_large", 200)]
)
async def test_faults_strike_and_pass(serve: Serve, mode: str, status: int) -> None:
    async with httpx.AsyncClient(base_url=serve(create_app(faults=True))) as client:
        await client.post("/_faults", json={"mode": mode, "path": "/weekday", "times": 1})
        struck = await client.get("/weekday/2027-03-14")
        spared = await client.get("/currency/JPY")
        healed = await client.get("/weekday/2027-03-14")
    assert struck.status_code == status
    if mode == "not_json":
        with pytest.raises(json.JSONDecodeError):
            struck.json()
    if mode == "too_large":
        assert len(struck.content) > 16_000_000
    assert (spared.status_code, healed.json()["weekday"]) == (200, "Sunday")


@pytest.mark.parametrize(("mode", "error"), [("refuse", httpx.RemoteProtocolError), ("slow", httpx.ReadTimeout)])
async def test_faults_without_an_answer(serve: Serve, mode: str, error: type[Exception]) -> None:
    async with httpx.AsyncClient(base_url=serve(create_app(faults=True)), timeout=0.5) as client:
        await client.post("/_faults", json={"mode": mode, "seconds": 2})
        with pytest.raises(error):
            await client.get("/weekday/2027-03-14")


async def test_faults_are_off_unless_allowed(client: httpx.AsyncClient) -> None:
    assert (await client.post("/_faults", json={"mode": "slow"})).status_code == 404
