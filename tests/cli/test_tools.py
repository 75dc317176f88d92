"""`tools`: the offered tools; registering and removing sources; calls by hand; the check of a document."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.orchestrator_process import orchestrator_process, settings_for
from support.shop_api import Shop

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
    assert invoke("tools", "add", "all", address, "--shared", "--url", url).exit_code == 0
    assert fake.requests[-1]["shared"] is True
    assert invoke("tools", "remove", "all", "--url", url).exit_code == 0
    assert [source["name"] for source in fake.sources] == ["broken"]


def test_a_file_is_added_with_its_settings(
    fake: Fake, url: str, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = written(tmp_path)
    options = ("--base-url", "http://api.example", "--credential", "key=SHOP_KEY", "--operation", "order")
    refused = invoke("tools", "add", "shop", document, *options, "--url", url)
    assert refused.exit_code == 2
    assert "the variable 'SHOP_KEY' is not set" in " ".join(refused.stderr.split())
    monkeypatch.setenv("SHOP_KEY", "canary-7f3a")
    refused = invoke("tools", "add", "shop", document, "--header", "x-client=CLIENT", "--url", url)
    assert "--header x-client=CLIENT: the variable 'CLIENT' is not set" in " ".join(refused.stderr.split())
    added = invoke("tools", "add", "shop", document, *options, "--header", "x-client=SHOP_KEY", "--url", url)
    assert added.exit_code == 0
    assert "canary" not in added.stdout
    (sent,) = fake.requests
    assert json.loads(sent.pop("document"))["paths"]
    assert sent == {
        "name": "shop",
        "kind": "openapi",
        "base_url": "http://api.example",
        "credentials": {"key": "canary-7f3a"},
        "headers": {"x-client": "canary-7f3a"},
        "operations": ["order"],
    }


def test_what_a_source_leaves_out_is_listed(fake: Fake, url: str, invoke: Invoke) -> None:
    same = {"field": "#/paths", "reason": "no credential"}
    fake.left_out = [{"name": name, "operation": f"{name} /files", **same} for name in ("POST", "PUT")]
    added = invoke("tools", "add", "shop", "http://127.0.0.1:9/openapi.json", "--tag", "files", "--url", url).stdout
    assert added.count("2 left out: no credential\n") == 1
    assert ["PUT", "PUT", "/files", "#/paths"] in [line.split() for line in added.splitlines()]
    assert fake.requests[0]["tags"] == ["files"]


def test_a_refused_source_names_field_and_remedy(url: str, invoke: Invoke) -> None:
    result = invoke("tools", "add", "shop", "http://127.0.0.1:9/bad", "--url", url)
    assert result.exit_code == 2
    assert "url: this is no document" in result.stderr
    assert "name another" in result.stderr


def test_an_unknown_effect_is_refused(url: str, invoke: Invoke) -> None:
    assert invoke("tools", "add", "shop", "http://127.0.0.1:9/", "--effect", "magic", "--url", url).exit_code == 2


def test_a_tool_is_shown_and_called_by_hand(tmp_path: Path, serve: Any, invoke: Invoke) -> None:
    shop = Shop()
    address = serve(shop.application())
    sources = tmp_path / "sources.json"
    sources.write_text(json.dumps({"sources": [shop.source(address)]}))
    settings = settings_for("http://127.0.0.1:9", tmp_path) | {"tool_sources": sources}
    with orchestrator_process(settings) as orchestrator:

        def run(*arguments: str) -> Any:
            return invoke("tools", "--url", orchestrator.address, *arguments)

        shown = run("show", "look_up").stdout
        assert f"GET {address}/items/text" in shown
        (example,) = [line for line in shown.splitlines() if line.startswith("example")]
        _, _, _, *example_call = shlex.split(example)
        assert run(*example_call).exit_code == 0
        assert json.loads(run("show", "look_up", "--json").stdout)["example"] == {"item": "text"}

        called = run("call", "look_up", '{"item": "lamp"}')
        assert called.exit_code == 0
        assert [line[13:17] for line in called.stdout.splitlines() if line.startswith("status")] == ["200,"]
        assert '{"item":"lamp","price":40}' in called.stdout
        failed = run("call", "look_up", '{"item": "broken"}', "--json")
        assert (failed.exit_code, json.loads(failed.stdout)["status"]) == (1, 500)

        refused = run("call", "order", '{"item": "lamp"}')
        assert refused.exit_code == 2
        assert "--yes" in refused.stderr
        assert shop.executed("order") == []
        assert run("call", "order", '{"item": "lamp"}', "--yes").exit_code == 0
        assert len(shop.executed("order")) == 1

        for arguments, message in (("{item", "not JSON"), ("[]", "no JSON object"), ('{"item": 5}', "arguments.item")):
            refused = run("call", "look_up", arguments)
            assert (refused.exit_code, message in refused.stderr) == (2, True)


def written(folder: Path, **changes: Any) -> str:
    path = folder / "openapi.json"
    path.write_text(json.dumps(Shop().application().openapi() | changes))
    return str(path)


def test_a_document_is_checked_without_an_orchestrator(tmp_path: Path, invoke: Invoke) -> None:
    document = written(tmp_path)
    checked = invoke("tools", "check", document, "--base-url", "http://api.example")
    assert checked.exit_code == 0
    assert [line.split()[:2] for line in checked.stdout.splitlines()[1:4]] == [
        ["look_up", "read"], ["reserve", "unkeyed_write"], ["order", "unkeyed_write"],
    ]  # fmt: skip
    assert "3 operations: 3 tools, 0 left out; about " in checked.stdout
    report = json.loads(
        invoke("tools", "check", document, "--base-url", "http://a.example", "--operation", "order", "--json").stdout
    )
    assert (report["tools"], report["left_out"]) == (["order"], [])
    assert (report["grammars"]["slowest"], report["grammars"]["compiled"], report["prompt_tokens"] > 10) == (
        "order", 1, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (None, (), "cannot be read: No such file"),
        (b"\xff", (), "is not text in UTF-8"),
        (b"[]", (), "#: "),
        (b"{}", ("--base-url", "ftp://x"), "base_url: "),
    ],
)
def test_a_document_that_cannot_be_checked(
    tmp_path: Path, invoke: Invoke, text: bytes | None, options: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "document"
    if text is not None:
        path.write_bytes(text)
    checked = invoke("tools", "check", str(path), *options)
    assert checked.exit_code == 2
    assert message in checked.stderr


def test_a_check_says_what_is_left_out_and_why(tmp_path: Path, invoke: Invoke) -> None:
    paths = Shop().application().openapi()["paths"]
    paths["/orders/{item}"]["post"]["security"] = [{"key": []}]
    schemes = {"key": {"type": "apiKey", "in": "header", "name": "x-key"}}
    document = written(tmp_path, paths=paths, components={"securitySchemes": schemes})
    options = ("tools", "check", document, "--base-url", "http://api.example", "--json")
    report = json.loads(invoke(*options).stdout)
    assert (report["operations"], report["tools"]) == (3, ["look_up", "reserve"])
    (left_out,) = report["left_out"]
    assert (left_out["name"], left_out["operation"]) == ("order", "POST /orders/{item}")
    assert "'key'" in left_out["reason"]
    assert "`credentials` under that name (--credential NAME=VARIABLE)" in left_out["reason"]
    assert "the header in `headers` (--header NAME=VARIABLE)" in left_out["reason"]
    assert json.loads(invoke(*options, "--credential", "key").stdout)["left_out"] == []
    assert json.loads(invoke(*options, "--header", "x-key=KEY").stdout)["left_out"] == []
    assert json.loads(invoke(*options, "--method", "GET").stdout)["tools"] == ["look_up"]


def test_a_check_lists_what_is_left_out_of_a_document_without_tools(tmp_path: Path, invoke: Invoke) -> None:
    schemes = {"key": {"type": "apiKey", "in": "query", "name": "k"}}
    document = written(tmp_path, security=[{"key": []}], components={"securitySchemes": schemes})
    options = ("tools", "check", document, "--base-url", "http://api.example")
    checked = invoke(*options)
    assert checked.exit_code == 1
    assert "3 left out: the operation needs credentials for 'key'; give it in `credentials`" in checked.stdout
    assert "--header" not in checked.stdout
    assert ["order", "POST", "/orders/{item}", "#/paths/~1orders~1{item}/post"] in [
        line.split() for line in checked.stdout.splitlines()
    ]
    assert "3 operations: 0 tools, 3 left out" in checked.stdout
    assert "no operation of the document can be offered" in checked.stderr
    as_json = invoke(*options, "--json")
    assert (as_json.exit_code, len(json.loads(as_json.stdout)["left_out"])) == (1, 3)


def test_a_tool_that_nobody_can_call_is_named(tmp_path: Path, invoke: Invoke) -> None:
    schema = {"type": "string", "pattern": "^a$", "minLength": 3}
    operation = {
        "operationId": "never",
        "parameters": [{"name": "x", "in": "query", "required": True, "schema": schema}],
        "responses": {"200": {"description": "ok"}},
    }
    document = written(tmp_path, paths={"/x": {"get": operation}})
    checked = invoke("tools", "check", document, "--base-url", "http://api.example")
    assert "no valid arguments were found for: never" in checked.stdout


def test_a_document_is_fetched_from_its_address(tmp_path: Path, invoke: Invoke, serve: Any) -> None:
    shop = Shop()
    shop.documents["openapi.json"] = json.loads(Path(written(tmp_path, servers=[{"url": "/v1"}])).read_text())
    options = ("tools", "check", f"{serve(shop.application())}/openapi.json", "--json")
    assert json.loads(invoke(*options).stdout)["tools"] == ["look_up", "reserve", "order"]
    # The header would go with the request for the document.
    assert "'KEY' is not set" in invoke(*options, "--header", "x-key=KEY").stderr


@pytest.mark.parametrize(("target", "read"), [("parts/types.json", True), ("../types.json", False)])
def test_a_document_of_several_files_is_read_within_its_folder(
    tmp_path: Path, invoke: Invoke, target: str, read: bool
) -> None:
    folder = tmp_path / "api"
    (folder / "parts").mkdir(parents=True)
    (folder / target).write_text(json.dumps({"Size": {"type": "string"}}))
    body = {"content": {"application/json": {"schema": {"$ref": f"{target}#/Size"}}}}
    operation = {"operationId": "a", "requestBody": body, "responses": {}}
    document = written(folder, servers=[{"url": "http://api.example"}], paths={"/a": {"post": operation}})
    report = json.loads(invoke("tools", "check", document, "--remote-references", "--json").stdout)
    assert report["tools"] == (["a"] if read else [])
    assert json.loads(invoke("tools", "check", document, "--json").stdout)["tools"] == []


def test_grammars_are_not_compiled_without_their_library(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "alpha_umi.serving.calls.grammar", None)
    checked = invoke("tools", "check", written(tmp_path), "--base-url", "http://api.example")
    assert checked.exit_code == 0
    assert "slowest grammar: not compiled: needs the package" in " ".join(checked.stdout.split())
