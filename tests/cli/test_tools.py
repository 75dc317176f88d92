"""`tools`: the offered tools; registering and removing sources."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Fake = Any
Invoke = Callable[..., Any]

TOOL = {
    "name": "temperature",
    "description": "How warm \x1b[31mit is",
    "parameters": {},
    "source": "s",
    "effect": "read",
}
FAILED = {
    "name": "broken", "kind": "openapi", "origin": "file", "base_url": None, "effect": "read", "status": "failed",
    "tools": [], "left_out": [], "url": "http://127.0.0.1:1/openapi.json", "error": "nobody answers",
}  # fmt: skip


def test_tools_are_listed(fake: Fake, url: str, invoke: Invoke) -> None:
    assert "no tool is registered" in invoke("tools", "--url", url).stdout
    fake.tools = [TOOL]
    output = invoke("tools", "--url", url).stdout
    assert "temperature" in output
    assert "How warm ␛[31mit is" in output
    assert json.loads(invoke("tools", "--url", url, "--json").stdout) == [TOOL]


def test_a_source_is_added_listed_and_removed(fake: Fake, url: str, invoke: Invoke) -> None:
    added = invoke("tools", "add", "shop", "http://127.0.0.1:9/openapi.json", "--effect", "keyed_write", "--url", url)
    assert (added.exit_code, added.stdout) == (0, "shop: 2 tools: a, b\n")
    address = "http://127.0.0.1:9/openapi.json"
    assert fake.requests == [{"name": "shop", "kind": "openapi", "url": address, "effect": "keyed_write"}]
    fake.sources.append(FAILED)
    listed = invoke("tools", "--url", url, "sources").stdout
    assert [line.split()[0] for line in listed.splitlines() if line.split()[1:2] == ["openapi"]] == ["shop", "broken"]
    assert "nobody" in listed
    assert invoke("tools", "remove", "shop", "--url", url).exit_code == 0
    assert [source["name"] for source in fake.sources] == ["broken"]


def test_a_refused_source_names_field_and_remedy(url: str, invoke: Invoke) -> None:
    result = invoke("tools", "add", "shop", "http://127.0.0.1:9/bad", "--url", url)
    assert result.exit_code == 2
    assert "url: this is no document" in result.stderr
    assert "name another" in result.stderr


def test_an_unknown_effect_is_refused(url: str, invoke: Invoke) -> None:
    assert invoke("tools", "add", "shop", "http://127.0.0.1:9/", "--effect", "magic", "--url", url).exit_code == 2
