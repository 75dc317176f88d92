"""Names of tools over all sources: no two tools are offered by one name, and every long name leads to its tool."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.tools.names import ToolKey, ToolNames

# Few letters and the separator, so that names clash.
NAMES = st.text("ab_", min_size=1, max_size=6) | st.text("ab_", min_size=60, max_size=64)
SOURCES = st.dictionaries(NAMES, st.lists(NAMES, max_size=5, unique=True), max_size=5)


def keys_of(tools: dict[str, list[str]]) -> list[ToolKey]:
    return [ToolKey(source, name) for source, own in tools.items() for name in own]


@given(SOURCES)
def test_every_tool_has_a_name_that_leads_to_it_alone(tools: dict[str, list[str]]) -> None:
    keys = keys_of(tools)
    # Another owner's source of the same name, with the same tools.
    keys += [key._replace(owner="ann") for key in keys[:3]]
    names = ToolNames(keys)
    assert list(names.offered.values()) == keys
    assert all(1 <= len(name) <= 64 for name in names.offered)
    for name, key in names.offered.items():
        assert list(names.candidates(name)) == [key]
        assert list(names.candidates(names.long_name(key))) == [key]


def test_a_name_that_two_sources_have_gets_the_source_as_a_prefix() -> None:
    names = ToolNames(keys_of({"shop": ["list_users", "pay"], "chat": ["list_users"]}))
    assert list(names.offered) == ["shop__list_users", "pay", "chat__list_users"]
    assert names.candidates("shop__pay") == [ToolKey("shop", "pay")]
    assert names.candidates("list_users") == [ToolKey("shop", "list_users"), ToolKey("chat", "list_users")]
    assert names.candidates("list") == []


def test_long_names_are_cut_with_a_digest() -> None:
    source, tool = "s" * 64, "t" * 64
    (first, second) = ToolNames(keys_of({source: [tool], "other": [tool]})).offered
    assert first.startswith("sssssssssssss__tttt")
    assert second.startswith("other__tttt")
    assert len(first) == 64
    assert ToolNames(keys_of({source: [tool]})).candidates(f"{source}__{tool}") == [ToolKey(source, tool)]


def test_a_tool_whose_own_name_looks_like_a_long_one() -> None:
    names = ToolNames(keys_of({"a": ["b__c", "b"], "a__b": ["c"], "x": ["a__b"]}))
    assert len(names.offered) == 4
    assert names.candidates("a__b") == [ToolKey("x", "a__b")]
    assert len(names.candidates("a__b__c")) == 2
