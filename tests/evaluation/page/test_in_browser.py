"""A page in Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evaluation.page.blocks import Cell, Fold, Gallery, Section, Table, Verbatim
from evaluation.page.charts import Bar, Line, bars, lines
from evaluation.page.html import render_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
SCRIPT = "<script>alert('one')</script><img src=x onerror=\"alert('two')\"><a href='javascript:alert(3)'>here</a>"
# What has the focus: its tag, and how its text begins.
FOCUSED = "document.activeElement.tagName + ' ' + document.activeElement.textContent.trim().slice(0, 8).trim()"


@pytest.fixture
def opened(browser_page: Page, tmp_path: Path) -> Page:
    """A page with all that makes it wide, long or dangerous."""
    table = Table("Figures", ["run", *(f"metric {n}" for n in range(14))], [[Cell(SCRIPT, "step"), *["0.1234"] * 14]])
    long = [Bar(f"{n} of a long name $x$ {'W' * 40}", n / 9, 0, 1, "0.1234") for n in range(9)]
    curves = [Line(f"stage {n} {'W' * 60}", [1, 2e6], [n + 1, 1]) for n in range(6)]
    charts = Gallery([bars("Plan ACC", long, maximum=1), lines("Loss", curves, x="tokens", y="loss")])
    observed = Verbatim(f"observation {'x' * 200}", f"{SCRIPT}\n{'x' * 8000}\n{'e' + chr(0x301) * 300}\u202eturned")
    sections = [Section("Figures", [table, charts], "f"), Section("Steps", [Fold(SCRIPT, [observed], "step")], "s")]
    (tmp_path / "page.html").write_text(render_page("A page", sections), encoding="utf-8")
    browser_page.goto((tmp_path / "page.html").as_uri())
    return browser_page


def test_html_in_a_text_is_text(opened: Page) -> None:
    assert opened.locator("script, img, a[href^='javascript']").count() == 0
    assert SCRIPT in (opened.locator("summary").text_content() or "")
    assert (opened.locator("pre").text_content() or "").startswith(f"{SCRIPT}\n")


def test_a_link_opens_the_fold_that_it_leads_into(opened: Page) -> None:
    assert not opened.locator("pre").is_visible()
    opened.locator("tbody a").click()
    assert opened.locator("pre").is_visible()
    assert opened.locator("details").get_attribute("open") is not None


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_as_wide_as_the_window(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 900})
    opened.locator("summary").click()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_no_text_of_a_chart_lies_on_another_or_outside(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 900})
    for svg in opened.locator("svg").all():
        frame = svg.bounding_box()
        boxes = svg.locator("text").evaluate_all("found => found.map(each => each.getBoundingClientRect().toJSON())")
        assert frame is not None
        assert len(boxes) > 5
        for place, box in enumerate(boxes):
            assert box["left"] >= frame["x"] - 1, box
            assert box["right"] <= frame["x"] + frame["width"] + 1, box
            for other in boxes[place + 1 :]:
                apart = (
                    box["right"] <= other["left"] + 1
                    or other["right"] <= box["left"] + 1
                    or box["bottom"] <= other["top"] + 3
                    or other["bottom"] <= box["top"] + 3
                )
                assert apart, (box, other)


def test_the_keyboard_reaches_everything(opened: Page) -> None:
    reached = []
    for _ in range(6):
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate(FOCUSED))
    assert reached[:3] == ["A Skip to", "A Figures", "A Steps"]
    assert reached[3:] == ["DIV Figures", "A <script>", "SUMMARY <script>"]
    opened.keyboard.press("Enter")
    assert opened.locator("pre").is_visible()
