"""The page of the documentation in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fastapi import APIRouter
from prometheus_client import CollectorRegistry
from support.serving_on_loopback import Serve

from alpha_umi.web.application import create_application

if TYPE_CHECKING:
    from playwright.sync_api import Page


async def ready() -> dict[str, Any]:
    return {}


@pytest.mark.browser
def test_it_shows_the_routes_and_asks_no_other_site(serve: Serve, browser_page: Page) -> None:
    router = APIRouter()

    @router.post("/v1/echo")
    async def echo(number: int) -> int:
        return number

    app = create_application(title="test", routers=[router], readiness=ready, registry=CollectorRegistry())
    address, requested = serve(app), list[str]()
    browser_page.on("request", lambda request: requested.append(request.url))
    browser_page.goto(f"{address}/docs")
    browser_page.locator(".opblock-summary-post").click()
    browser_page.get_by_text("Try it out").wait_for()
    assert "/v1/echo" in browser_page.inner_text("#page").replace("\u200b", "")
    assert all(url.startswith((address, "data:")) for url in requested)
