"""The drift page in a browser: from an alarm to the steps behind it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.synthetic_trajectories import step, trajectory

from evaluation.drift.page import drift_page
from evaluation.drift.report import drift_report
from evaluation.drift.windows import drift

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=\"alert('tool')\">"


@pytest.fixture
def opened(browser_page: Page, tmp_path: Path) -> Page:
    """Two days; on the second the planner gives up."""
    day = timedelta(days=1)
    served = [
        trajectory(
            f"{number}-{each}",
            status="gave_up" if number and each % 2 else "completed",
            steps=[step(0, observation=HOSTILE), step(1, "conclusion")],
            instruction=f"{HOSTILE} {each}",
            after=number * day + timedelta(minutes=each),
        )
        for number in range(2)
        for each in range(40)
    ]
    matches = drift(served, day)
    report = drift_report(matches, {}, now=served[-1].created_at + day, resamples=2_000, seed=0)
    page = tmp_path / "drift.html"
    page.write_text(drift_page(matches, report), encoding="utf-8")
    browser_page.goto(page.as_uri())
    return browser_page


def test_two_clicks_lead_from_an_alarm_to_the_steps(opened: Page) -> None:
    observed = opened.locator("pre", has_text="price(").first
    assert not observed.is_visible()
    opened.locator("tbody a", has_text="gave up").click()
    opened.locator("details details summary").first.click()
    assert observed.is_visible()
    assert HOSTILE in (observed.text_content() or "")
    assert opened.locator("img, script").count() == 0


@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_as_wide_as_the_window(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 900})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
