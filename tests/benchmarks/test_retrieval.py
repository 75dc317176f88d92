"""Retrieval's benchmark counts the questions whose tools are among the first ten."""

from __future__ import annotations

from benchmarks.retrieval import LabelledQuery, measure, with_shares


def question(query: str, *needed: str) -> LabelledQuery:
    apis = [
        {
            "category_name": "Data", "tool_name": "City", "api_name": f"{subject} {number}", "required_parameters": [],
            "api_description": f"The {subject}", "optional_parameters": [],
        }
        for subject in ("weather", "museums")
        for number in range(12)
    ]  # fmt: skip
    labels = [["City", name] for name in needed]
    return LabelledQuery.model_validate({"query": query, "query_id": query, "api_list": apis, "relevant APIs": labels})


def test_any_and_all_of_the_needed_tools() -> None:
    row = measure(
        "p",
        [
            question("weather 11", "weather 11"),
            question("weather 11?", "weather 11", "museums 3"),
            question("weather", "museums 3"),
            question("of nothing"),
        ],
    )
    assert row == {"part": "p", "tools": 24, "instructions": 3, "any": 2, "all": 1}
    assert with_shares(row) | row | {"any": "66.7 %", "all": "33.3 %"} == with_shares(row)
