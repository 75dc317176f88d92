"""The bounds of request bodies, and the process that reads large documents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.orchestrator_world import Client

from orchestrator.tools.packed import PackedText

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"instruction":"' + b"x" * 7_000_000 + b'"}', 413, "6291456 bytes"),
        (b'{"instruction":"x","metadata":' + b"[" * 400_000 + b"]" * 400_000 + b"}", 413, "50000 values"),
        (b'{"instruction":"x","metadata":{' + b",".join(b'"k%d":0' % n for n in range(30_000)) + b"}}", 413, "fields"),
        (b'{"instruction":"' + b"," * 300_000 + b'"}', 422, "instruction"),
        (b'{"instruction":"x","metadata":' + b"[" * 20_000 + b"]" * 20_000 + b"}", 422, "nested"),
        (b'{"instruction":' + b"," * 200_000 + b'"' + b'\\"' * 1_000_000, 413, "50000 values"),
        (b'{"instruction":' + b"x" * 100_000, 422, "JSON"),
    ],
)
async def test_bodies_beyond_their_bounds_are_refused(client: Client, body: bytes, status: int, message: str) -> None:
    response = await client.http.post("/v1/trajectories", content=body, headers=JSON)
    assert response.status_code == status, response.text[:200]
    assert message in response.text


def source(name: str, document: Any, **more: Any) -> bytes:
    return json.dumps({"name": name, "document": document} | more).encode()


def large(*, description: str = "x" * 1_000) -> dict[str, Any]:
    paths = {f"/a{n}": {"get": {"description": description}} for n in range(100)}
    return {"openapi": "3.1.0", "servers": [{"url": "http://127.0.0.1:1"}], "paths": paths}


@pytest.mark.parametrize("document", [large(), json.dumps(large())])
async def test_a_large_document_is_stored_as_it_was_read(client: Client, document: Any) -> None:
    response = await client.http.post("/v1/tool-sources", content=source("large", document), headers=JSON)
    assert response.status_code == 201, response.text[:200]
    assert len(response.json()["tools"]) == 100
    (stored,) = [row.document for row in await client.orchestrator.store.list_tool_sources() if row.name == "large"]
    assert json.loads(PackedText.from_record(stored["document"]).raw()) == large()


async def test_a_large_body_that_is_no_source_is_explained(client: Client) -> None:
    for body, status, message in (
        (source("s", large(), headers={f"h{n}": 1 for n in range(30_000)}), 413, "fields"),
        (source("s", large(), unknown=1), 422, "unknown"),
        (source("s", large())[:-1], 422, "JSON"),
        (source("s", {**large(), "paths": {}}), 422, "no paths"),
    ):
        response = await client.http.post("/v1/tool-sources", content=body, headers=JSON)
        assert (response.status_code, message in response.text) == (status, True), response.text[:300]
