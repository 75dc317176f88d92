"""A question and two tools of different shape."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def tools() -> list[dict[str, Any]]:
    """Two tools of different shape."""
    return [
        {
            "name": "sun_times",
            "description": "Sunrise and sunset of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "day": {"type": "integer", "minimum": 1, "maximum": 31}},
                "required": ["city"],
            },
        },
        {"name": "moon_phase", "description": "Phase of the moon", "parameters": {"type": "object", "properties": {}}},
    ]


@pytest.fixture
def history() -> list[dict[str, str]]:
    """A first question."""
    return [{"role": "user", "content": "When does the sun rise in Oslo?"}]
