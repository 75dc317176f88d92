"""A further kind of tool source is one module (`support.echo_source`) and one line in `kinds.KINDS`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support.echo_source import ECHO, EchoProvider, EchoSource
from support.orchestrator_world import surroundings
from support.scripted_roles import call, decide, in_turn

from orchestrator.store import SHARED
from orchestrator.tools.egress import Egress
from orchestrator.tools.errors import SourceExistsError, ToolGone
from orchestrator.tools.kinds import KINDS, parse_source
from orchestrator.tools.openapi.provider import OpenApiSource
from orchestrator.tools.registry import ToolRegistry
from orchestrator.tools.sources_file import load_sources_file


@pytest.fixture(autouse=True)
def echo_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "echo", ECHO)


async def test_a_source_is_loaded_called_and_closed_by_its_kind(egress: Egress) -> None:
    registry = ToolRegistry(egress)
    provider = await registry.add_source(parse_source({"name": "one", "kind": "echo", "tool": "say"}))
    assert isinstance(provider, EchoProvider)
    (tool,) = registry.of(SHARED).list_tools()
    assert tool.source == "one"
    result = await registry.call(tool, {"text": "hello"}, idempotency_key="k", timeout_s=1)
    assert json.loads(result.content) == ["say", {"text": "hello"}]
    await registry.remove_source("one")
    assert provider.closed
    with pytest.raises(ToolGone):
        await registry.call(tool, {}, idempotency_key="k", timeout_s=1)


async def test_a_provider_that_is_refused_or_left_over_is_closed(
    egress: Egress, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[EchoProvider] = []

    async def load(source: EchoSource, egress: Egress) -> EchoProvider:
        await asyncio.sleep(0)
        loaded.append(EchoProvider(source))
        return loaded[-1]

    monkeypatch.setitem(KINDS, "echo", type(ECHO)(EchoSource, load))
    registry = ToolRegistry(egress)
    await registry.add_source(EchoSource(name="one"))
    adding = [registry.add_source(EchoSource(name="two")) for _ in range(2)]
    outcomes = await asyncio.gather(*adding, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EchoProvider, SourceExistsError]
    assert [provider.closed for provider in loaded] == [False, False, True]
    await registry.aclose()
    assert [provider.closed for provider in loaded] == [True, True, True]
    assert registry.of(SHARED).list_tools() == []


def test_settings_are_read_by_kind(tmp_path: Path) -> None:
    file = tmp_path / "sources.json"
    file.write_text(json.dumps({"sources": [{"name": "a", "url": "http://a.example"}, {"name": "b", "kind": "echo"}]}))
    assert load_sources_file(file) == [OpenApiSource(name="a", url="http://a.example"), EchoSource(name="b")]
    for bad, field in (({"kind": "soap"}, "kind"), ({"kind": ["echo"]}, "kind"), ({"kind": "echo", "x": 1}, "x")):
        with pytest.raises(ValidationError) as caught:
            parse_source({"name": "a"} | bad)
        assert [error["loc"] for error in caught.value.errors()] == [(field,)]


async def test_a_trajectory_uses_a_source_of_the_api_also_after_a_restart(tmp_path: Path) -> None:
    async with surroundings(tmp_path) as world:
        async with world.orchestrator() as client:
            refused = await client.http.post("/v1/tool-sources", json={"name": "e", "kind": "soap"})
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "kind")
            assert "'openapi' or 'echo'" in refused.json()["errors"][0]["message"]
            refused = await client.http.post("/v1/tool-sources", json={"name": "e", "kind": "echo", "tool": "mute"})
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "tool")
            added = await client.http.post("/v1/tool-sources", json={"name": "e", "kind": "echo"})
            assert (added.status_code, added.json()["kind"], added.json()["url"]) == (201, "echo", None)
        async with world.orchestrator() as client:
            world.roles.planner = in_turn(decide("say it", "caller"), decide("done", "conclusion"))
            world.roles.caller = in_turn(call("echo", text="hello"))
            trajectory: dict[str, Any] = await client.run()
    assert json.loads(trajectory["steps"][0]["observation"]["content"]) == ["echo", {"text": "hello"}]
