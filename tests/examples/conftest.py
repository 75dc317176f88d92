"""The tool API in process."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from examples.tool_api.app import create_app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app()), base_url="http://tools") as client:
        yield client
