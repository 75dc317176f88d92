"""Registrations of tool sources outlive the process."""

from __future__ import annotations

import pytest
from pysqlite3 import dbapi2 as sqlite3

from orchestrator.store import SHARED, EventStore, NotStorable, StoreDamaged, open_store


async def test_a_registration_is_stored_replaced_and_removed(store: EventStore) -> None:
    await store.put_tool_source(SHARED, "weather", {"kind": "openapi", "url": "http://127.0.0.1:9000/openapi.json"})
    await store.put_tool_source(SHARED, "calendar", {"kind": "openapi"})
    await store.put_tool_source(SHARED, "weather", {"kind": "openapi", "tags": ["now"]})
    assert await store.list_tool_sources() == [
        (SHARED, "calendar", {"kind": "openapi"}),
        (SHARED, "weather", {"kind": "openapi", "tags": ["now"]}),
    ]
    assert await store.delete_tool_source(SHARED, "calendar") is True
    assert await store.delete_tool_source(SHARED, "calendar") is False
    assert [source.name for source in await store.list_tool_sources()] == ["weather"]


async def test_a_registration_is_there_after_a_restart(url: str) -> None:
    async with open_store(url) as store:
        await store.put_tool_source(SHARED, "weather", {"kind": "openapi"})
    async with open_store(url) as store:
        assert await store.list_tool_sources() == [(SHARED, "weather", {"kind": "openapi"})]


async def test_a_document_or_name_without_json_form_is_refused(store: EventStore) -> None:
    with pytest.raises(NotStorable, match="tool source weather has no JSON form"):
        await store.put_tool_source(SHARED, "weather", {"x": float("nan")})
    with pytest.raises(NotStorable, match="name of the tool source is not valid Unicode"):
        await store.put_tool_source(SHARED, "\ud83d", {})
    assert await store.list_tool_sources() == []


async def test_a_damaged_registration_is_named(store: EventStore, other: sqlite3.Connection) -> None:
    await store.put_tool_source(SHARED, "weather", {})
    other.execute("UPDATE tool_sources SET document = '?'")
    with pytest.raises(StoreDamaged, match="tool source weather cannot be read"):
        await store.list_tool_sources()
