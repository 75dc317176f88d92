"""The frame of every service: problem documents, request ids, body limits, keys, binding."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from typing import Annotated, Any

import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Query
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from support.serving_on_loopback import Serve

from alpha_umi import telemetry
from alpha_umi.contract.problems import PROBLEMS, TYPE_PREFIX, ServiceError
from alpha_umi.web.application import create_application
from alpha_umi.web.keys import OpenBindRefused, check_bind
from alpha_umi.web.server import PortTaken, open_socket

KEY = "canary-key-7f3a"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int


async def ready() -> dict[str, Any]:
    return {}


def application(**options: Any) -> FastAPI:
    router = APIRouter()

    @router.post("/v1/echo")
    async def echo(body: Body) -> Body:
        return body

    @router.put("/v1/echo")
    async def put_echo(body: Body) -> Body:
        return body

    @router.get("/v1/kinds/{kind}")
    async def kinds(kind: str) -> None:
        raise ServiceError(kind, "as asked", field="kind", remedy="ask for less")  # type: ignore[arg-type]

    @router.get("/v1/sizes")
    async def sizes(size: Annotated[Annotated[int, Field(ge=0)] | SkipJsonSchema[None], Query()] = None) -> None:
        pass

    @router.get("/v1/defect")
    async def defect() -> None:
        raise RuntimeError("a detail that nobody outside may read")

    return create_application(title="test", routers=[router], readiness=ready, registry=CollectorRegistry(), **options)


def client(**options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(**options), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@pytest.mark.parametrize("kind", PROBLEMS)
async def test_every_kind_of_problem_has_its_status(kind: str) -> None:
    response = await client().get(f"/v1/kinds/{kind}", headers={"X-Request-Id": "mine-1"})
    row = PROBLEMS[kind]  # type: ignore[index]
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["X-Request-Id"] == "mine-1"
    assert response.status_code == row.status
    assert ("Retry-After" in response.headers) == (row.retry_after_s is not None)
    assert response.json() == {
        "type": TYPE_PREFIX + kind,
        "title": row.title,
        "status": row.status,
        "detail": "as asked",
        "request_id": "mine-1",
        "errors": [{"field": "kind", "message": "as asked", "remedy": "ask for less"}],
    }


@pytest.mark.parametrize(
    ("content", "field", "remedy"),
    [
        (b'{"number": 1, "mood": 2}', "mood", "leave the field out"),
        (b"{}", "number", "add the field"),
        (b'{"number": "x"}', "number", None),
        (b"{number", "body", "send valid JSON"),
        (b"", "body", "add the field"),
        (b'{"number": \xff}', "body", "send valid JSON"),
        (b"[" * 100_000, "body", "send valid JSON"),
        (b'{"number": ' + b"9" * 5_000 + b"}", "body", "send valid JSON"),
    ],
)
async def test_a_bad_body_names_the_field(content: bytes, field: str, remedy: str | None) -> None:
    response = await client().post("/v1/echo", content=content, headers={"Content-Type": "application/json"})
    error = response.json()["errors"][0]
    assert (response.status_code, error["field"]) == (422, field)
    assert remedy is None or remedy in error["remedy"]


@pytest.mark.parametrize("declared", [None, "application/x-www-form-urlencoded", "text/json", "json"])
async def test_a_body_that_is_not_declared_as_json_is_refused_by_its_header(declared: str | None) -> None:
    headers = {} if declared is None else {"Content-Type": declared}
    response = await client().post("/v1/echo", content=b'{"number": 1}', headers=headers)
    error = response.json()["errors"][0]
    assert (response.status_code, error["field"]) == (415, "Content-Type")
    assert error["remedy"] == "send the header `Content-Type: application/json`"


async def test_broken_json_is_reported_with_its_position() -> None:
    response = await client().post("/v1/echo", content=b'{"number"', headers={"Content-Type": "application/json"})
    assert response.json()["detail"] == "body: JSON decode error at character 9: Expecting ':' delimiter"


@pytest.mark.parametrize("query", ["size=blue", "size=-1", "size=null"])
async def test_a_bad_parameter_is_reported_once_by_its_name(query: str) -> None:
    (error,) = (await client().get(f"/v1/sizes?{query}")).json()["errors"]
    assert error["field"] == "query.size"
    assert "None" not in error["message"]


async def test_a_defect_discloses_no_details() -> None:
    response = await client().get("/v1/defect")
    assert (response.status_code, response.json()["type"]) == (500, TYPE_PREFIX + "internal")
    assert "detail that nobody" not in response.text


@pytest.mark.parametrize(("path", "method", "status"), [("/nowhere", "GET", 404), ("/v1/echo", "DELETE", 405)])
async def test_unknown_paths(path: str, method: str, status: int) -> None:
    response = await client().request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


async def test_another_method_is_answered_with_those_of_every_route_of_the_path() -> None:
    assert (await client().request("TRACE", "/healthz")).headers["Allow"] == "GET"
    assert (await client().delete("/v1/echo")).headers["Allow"] == "POST, PUT"


async def test_the_document_gives_problems_their_media_type() -> None:
    document = (await client().get("/openapi.json")).json()
    for path in document["paths"].values():
        for operation in path.values():
            for status in ("4XX", "5XX"):
                content = operation["responses"][status]["content"]
                assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert list(document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]


async def test_the_documentation_is_self_contained() -> None:
    page = await client().get("/docs")
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in page.headers["Content-Security-Policy"]
    assert "<script>" not in page.text
    links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(links) == 4
    for link in set(links) - {"data:,"}:
        asset = await client().get(link)
        assert (asset.status_code, asset.headers["X-Content-Type-Options"]) == (200, "nosniff"), link
        assert asset.headers["content-type"].startswith(("text/javascript", "text/css"))
    for other in ("core.py", "redoc.standalone.js", "..%2f__init__.py", "%2e%2e"):
        assert (await client().get(f"/docs/{other}")).status_code == 404


async def test_a_body_is_bounded_also_without_a_length() -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 1_000

    for content in (b" " * 20_000, endless()):
        response = await client(max_body_bytes=10_000).post("/v1/echo", content=content)
        assert (response.status_code, response.json()["type"]) == (413, TYPE_PREFIX + "body-too-large")


@pytest.mark.parametrize("shown", ["x" * 65, "a b", "line\nbreak", ""])
async def test_a_strange_request_id_is_replaced(shown: str) -> None:
    response = await client().get("/healthz", headers={"X-Request-Id": shown.replace("\n", "%0a")})
    assert len(response.headers["X-Request-Id"]) == 32


async def test_every_route_but_health_asks_for_a_key() -> None:
    app = application(keys=[KEY, "another"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as asking:
        for path in ("/v1/echo", "/metrics", "/openapi.json", "/docs"):
            method = "POST" if path == "/v1/echo" else "GET"
            for headers in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": f"Basic {KEY}"},
                {"Authorization": KEY},
            ):
                response = await asking.request(method, path, headers=headers)
                assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer"), path
                assert KEY not in response.text
            allowed = await asking.request(
                method,
                path,
                headers={"Authorization": f"bearer {KEY}"},
                json={"number": 1} if method == "POST" else None,
            )
            assert allowed.status_code == 200
        for path in ("/healthz", "/readyz"):
            assert (await asking.get(path)).status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /metrics HTTP/1.1\r\nHost: localhost/healthz\r\n",
        b"GET /metrics?/healthz HTTP/1.1\r\nHost: x\r\n",
        b"GET //healthz/../metrics HTTP/1.1\r\nHost: x\r\n",
        b"GET /healthz%2f..%2fmetrics HTTP/1.1\r\nHost: x\r\n",
        b"GET http://x/healthz/../metrics HTTP/1.1\r\nHost: healthz\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Original-URL: /healthz\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: x/healthz#\r\nX-Forwarded-Prefix: /healthz\r\n",
    ],
)
async def test_host_and_path_tricks_open_nothing(serve: Serve, head: bytes) -> None:
    address = httpx.URL(serve(application(keys=[KEY])))
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(head + b"Connection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.split(b" ")[1] in (b"400", b"401", b"404")
    assert b"python_info" not in answer


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_open_bind_needs_a_key(host: str) -> None:
    with pytest.raises(OpenBindRefused, match="set ALPHA_UMI_API_KEYS"):
        check_bind(host, [], variable="ALPHA_UMI_API_KEYS")
    check_bind(host, [KEY], variable="ALPHA_UMI_API_KEYS")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    check_bind(host, [], variable="ALPHA_UMI_API_KEYS")


def test_a_taken_port_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is taken"):
            open_socket("127.0.0.1", port)


async def test_small_answers_leave_at_once() -> None:
    """Without TCP_NODELAY the second half of an answer waits 40 ms for the client's ACK of the first."""
    taken: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listening = open_socket("127.0.0.1", 0)
    async with await asyncio.start_server(accept, sock=listening):
        _, writer = await asyncio.open_connection(*listening.getsockname())
        assert await taken
        writer.close()
        await writer.wait_closed()


def test_logs_are_one_object_a_line_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure_logs(service="test", form="json")
    try:
        with telemetry.bind(trajectory_id="traj_1", step=2):
            telemetry.logger("x").warning("tool.failed", token=KEY, text="line\nbreak \x1b[31mred")
        logging.getLogger("foreign").error("from a library")
        ours, foreign = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()
    assert (ours["event"], ours["service"], ours["trajectory_id"], ours["step"]) == ("tool.failed", "test", "traj_1", 2)
    assert (ours["token"], ours["text"]) == ("[redacted]", "line\nbreak \x1b[31mred")
    assert foreign["event"] == "from a library"
