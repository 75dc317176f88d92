"""The stand-in server answers with a document's own examples."""

from typing import Any

import httpx
import pytest

from examples.stand_in import create_app

RATE = {"type": "object", "properties": {"quote": {"type": "string", "example": "USD"}, "rate": {"type": "number"}}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Rates", "version": "1"},
    "servers": [{"url": "https://rates.example/v2"}],
    "paths": {
        "/rates/{base}": {"get": {"responses": {"200": {"content": {"application/json": {"example": [1.5, 2]}}}}}},
        "/rates/latest": {"get": {"responses": {"200": {"$ref": "#/components/responses/Rate"}}}},
        "/rates": {"delete": {"responses": {"204": {"description": "gone"}}}},
        "/lines": {"get": {"responses": {"2XX": {"content": {"text/csv": {"examples": {"a": {"value": "x,y"}}}}}}}},
    },
    "components": {
        "schemas": {"Rate": RATE},
        "responses": {"Rate": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Rate"}}}}},
    },
}


@pytest.mark.parametrize(
    ("method", "path", "status", "media_type", "body"),
    [
        ("GET", "/v2/rates/EUR", 200, "application/json", "[1.5, 2]"),
        ("GET", "/rates/latest", 200, "application/json", '{"quote": "USD", "rate": 1.5}'),
        ("DELETE", "/v2/rates", 204, "", ""),
        ("GET", "/lines", 200, "text/csv", "x,y"),
        ("POST", "/rates", 405, "text/plain", "Method Not Allowed"),
        ("GET", "/nothing", 404, "text/plain", "Not Found"),
    ],
)
async def test_answers(method: str, path: str, status: int, media_type: str, body: str) -> None:
    transport = httpx.ASGITransport(create_app(DOCUMENT))
    async with httpx.AsyncClient(transport=transport, base_url="http://stand-in") as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers.get("content-type", "").partition(";")[0] == media_type
    assert answer.text == body
