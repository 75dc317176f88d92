"""The streams of every course hold what those of the first release held; what was added since is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.stream_courses import COURSES, normalised, stream_of

GOLDEN = Path(__file__).parent / "golden_streams"


def file_of(name: str) -> Path:
    return GOLDEN / f"{name.replace(',', '').replace(' ', '_')}.jsonl"


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file_of(name).read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", COURSES)
async def test_a_stream_is_as_it_was(name: str, world: Any) -> None:
    trajectory_id, events = await stream_of(name, world)
    assert [normalised(event, trajectory_id) for event in events] == recorded(name)
