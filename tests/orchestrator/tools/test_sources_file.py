"""Sources files: parsed, stored and loaded; secrets are not shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.tools.errors import ToolSourceError
from orchestrator.tools.kinds import parse_source
from orchestrator.tools.model import EffectClass
from orchestrator.tools.openapi.provider import OpenApiSource
from orchestrator.tools.sources_file import load_sources_file

CANARY = "canary-7d31c0de"


def test_the_example_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(
        """
sources:
  - name: demo
    kind: openapi
    url: http://127.0.0.1:8010/openapi.json
    effect: read
  - name: shop
    document: {openapi: 3.1.0}
    base_url: https://shop.example/v1
    headers: {X-Team: "${TEAM}-${TEAM}"}
    credentials: {key: "Bearer ${SHOP_KEY}", plain: as-it-is}
    operations: [list_orders]
"""
    )
    demo, shop = load_sources_file(path, environ={"TEAM": "a", "SHOP_KEY": CANARY})
    assert demo == OpenApiSource(name="demo", url="http://127.0.0.1:8010/openapi.json", effect=EffectClass.READ)
    assert shop.effect is EffectClass.UNKEYED_WRITE
    assert isinstance(shop, OpenApiSource)
    assert shop.headers["X-Team"].get_secret_value() == "a-a"
    assert shop.credentials["key"].get_secret_value() == f"Bearer {CANARY}"
    assert CANARY not in repr(shop) + shop.model_dump_json()


def test_json_is_read_and_the_environment_is_the_process_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHA_UMI_TEST_KEY", CANARY)
    path = tmp_path / "sources.json"
    entry = {"name": "a", "url": "http://a.example", "headers": {"K": "${ALPHA_UMI_TEST_KEY}"}}
    path.write_text(json.dumps({"sources": [entry]}))
    (source,) = load_sources_file(path)
    assert isinstance(source, OpenApiSource)
    assert source.headers["K"].get_secret_value() == CANARY


def test_sources_of_the_api_are_not_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHA_UMI_API_KEYS", CANARY)
    source = OpenApiSource.model_validate(
        {"name": "a", "url": "http://a.example", "headers": {"K": "${ALPHA_UMI_API_KEYS}"}}
    )
    assert source.headers["K"].get_secret_value() == "${ALPHA_UMI_API_KEYS}"


def test_a_record_reads_back() -> None:
    source = OpenApiSource.model_validate(
        {
            "name": "a",
            "url": "http://a.example/openapi.json",
            "document": "{}",
            "effect": "keyed_write",
            "headers": {"K": CANARY},
            "credentials": {"c": CANARY},
        }
    )
    record = json.loads(json.dumps(source.record()))
    assert record["headers"] == {"K": CANARY}
    assert parse_source(record, stored=True) == source


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b"}, "name"),
    ({"name": "x" * 65}, "name"),
    ({"kind": "soap"}, "kind"),
    ({"url": None}, "give `url` or `document`"),
    ({"url": "file:///etc/passwd"}, "http"),
    ({"url": f"http://user:{CANARY}@a.example"}, "credentials"),
    ({"base_url": "ftp://a.example"}, "http"),
    ({"effect": "none"}, "effect"),
    ({"headers": {"Host": "a"}}, "Host"),
    ({"headers": {"A\r\nB": "a"}}, "not a header"),
    ({"headers": {"A": f"{CANARY}\r\nB: c"}}, "printable"),
    ({"credentials": {"A": f"{CANARY}é"}}, "printable"),
    ({"operations": []}, "operations"),
    ({"surprise": 1}, "surprise"),
]


@pytest.mark.parametrize(("change", "says"), BAD)
def test_bad_sources_name_the_field_and_show_no_secret(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    entry = {"name": "a", "url": "http://a.example"} | change
    with pytest.raises(ValidationError, match=says):
        OpenApiSource.model_validate(entry)
    path = tmp_path / "sources.yaml"
    path.write_text(json.dumps({"sources": [entry]}))
    with pytest.raises(ToolSourceError, match=r"sources\.0") as caught:
        load_sources_file(path, environ={})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "no list `sources`"),
        ("sources: 1", "no list `sources`"),
        ("sources: [1]", r"sources\.0: this is not an object"),
        ("a: [", "neither YAML nor JSON"),
        ("sources: !!python/object/apply:os.getcwd []", "neither YAML nor JSON"),
        ("sources: [{name: a, url: 'http://a.example', headers: {K: '${NOT_SET}'}}]", "NOT_SET is not set"),
        ("sources: [{name: a, url: 'http://a.example'}, {name: a, url: 'http://a.example'}]", "two sources"),
    ],
)
def test_bad_files_say_so(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(content)
    with pytest.raises(ToolSourceError, match=says):
        load_sources_file(path, environ={})


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ToolSourceError, match="cannot be read"):
        load_sources_file(tmp_path / "none.yaml")
