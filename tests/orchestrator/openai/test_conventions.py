"""Errors and headers on the paths of OpenAI's clients; every other path has problem documents."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from support.orchestrator_world import Client, World

from alpha_umi.contract.problems import ServiceError

KEY = "canary-key-4c1d-9b0e57a2f681"


def error_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert error["message"]
    return error


async def test_every_kind_of_refusal_has_the_form(client: Client) -> None:
    @client.app.get("/v1/models-of-old")
    async def old() -> None:
        raise ServiceError("unknown-tool", "not on an OpenAI path")

    assert error_of(await client.http.get("/v1/models/none/at/all"))["code"] == "model_not_found"
    assert error_of(await client.http.get("/v1/responses/a/b/c"))["code"] == "not_found"
    unsupported = await client.http.put("/v1/models", json={})
    assert (unsupported.status_code, unsupported.headers["allow"]) == (405, "GET")
    assert error_of(unsupported)["code"] == "method_not_allowed"
    assert (await client.http.get("/v1/models-of-old")).headers["content-type"] == "application/problem+json"
    assert (await client.http.get("/v1/nothing")).headers["content-type"] == "application/problem+json"


async def test_the_guard_refuses_in_the_form(world: World) -> None:
    async with world.orchestrator(api_keys=(KEY,)) as client:
        refused = await client.http.get("/v1/models")
        assert refused.status_code == 401
        assert error_of(refused) | {"message": ""} == {
            "message": "",
            "type": "invalid_request_error",
            "param": None,
            "code": "invalid_api_key",
        }
        assert "openai-processing-ms" in refused.headers
        assert "x-ratelimit-limit-requests" not in refused.headers, "a stranger has no limits to see"


async def test_a_defect_is_a_500_in_the_form(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a secret of the defect")

    monkeypatch.setattr(client.orchestrator.contexts, "models", fail, raising=True)
    answer = await client.http.get("/v1/models")
    assert answer.status_code == 500
    assert error_of(answer)["code"] == "server_error"
    assert "secret" not in answer.text


async def test_headers_of_an_answer(client: Client) -> None:
    answer = await client.http.get("/v1/models", headers={"X-Request-Id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    assert int(answer.headers["openai-processing-ms"]) >= 0
    assert int(answer.headers["x-ratelimit-remaining-requests"]) > 0


async def test_when_to_come_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise ServiceError("overloaded", "too much", headers={"Retry-After": "7"})

    monkeypatch.setattr(client.orchestrator.contexts, "models", refuse)
    answer = await client.http.get("/v1/models")
    assert (answer.status_code, answer.headers["retry-after"], answer.headers["retry-after-ms"]) == (503, "7", "7000")
    assert error_of(answer)["code"] == "server_is_overloaded"


@pytest.mark.parametrize(
    ("content", "status", "param"),
    [
        (b'{"unknown": 1}', 400, "unknown"),
        (b'{"items": [{"type": "message", "role": "user", "content": "x", "more": 1}]}', 400, "items[0].more"),
        (b'{"metadata": []}', 400, "metadata"),
        (b'{"metadata": ', 400, "body"),
        (b"\xff", 400, "body"),
        (b'{"metadata": {"a": "' + b"x" * 7_000_000 + b'"}}', 413, None),
    ],
    ids=["unknown", "unknown_in_list", "type", "no_json", "no_text", "large"],
)
async def test_a_bad_request_is_a_400_that_names_the_field(
    client: Client, content: bytes, status: int, param: str | None
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await client.http.post("/v1/conversations", content=content, headers=headers)
    assert (answer.status_code, error_of(answer)["param"]) == (status, param)


async def test_a_body_that_is_not_declared_as_json_is_refused(client: Client) -> None:
    answer = await client.http.post("/v1/conversations", content=b"{}")
    assert (answer.status_code, error_of(answer)["code"]) == (415, "unsupported_media_type")
