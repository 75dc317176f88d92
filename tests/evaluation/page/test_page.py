"""A page is one file: escaped, without external resources or scripts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from evaluation.page.blocks import Cell, Fold, Gallery, Listing, Paragraph, Section, Table, Verbatim
from evaluation.page.charts import Bar, Line, bars, lines
from evaluation.page.html import render_page
from evaluation.page.markdown import render_markdown

EVIL = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\"' {{ 7 * 7 }} | `code` *bold*"
BARS = [Bar("A <b>", 0.5, 0.4, 0.6, "0.50"), Bar("$x$ {}", None), Bar("C", 1.0, text="1.00")]
LINES = [Line("global", [1, 2], [2.0, 1.0], [1.9, 0.9], [2.1, 1.1]), Line("x\udc80\x07", [1], [3])]
CHARTS = Gallery(
    [bars("Plan ACC", BARS, maximum=1), bars("Act. EM", BARS, maximum=1), lines("Loss", LINES, x="tokens", y="loss")]
)
SECTIONS = [
    Section(
        "Figures",
        [
            Paragraph(EVIL),
            Paragraph(EVIL, warning=True),
            Table(EVIL, ["run", EVIL], [[Cell("A", "step-1", 3), EVIL]]),
            CHARTS,
            Listing([Cell(EVIL, "step-1"), Cell("two")]),
        ],
        anchor="figures",
    ),
    Section("Steps", [Fold(EVIL, [Verbatim(EVIL, f"\n{EVIL}\n\u202eturned\x00\ud800")], anchor="step-1")], detail=True),
]


class Elements(HTMLParser):
    """The elements of a page, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def page() -> str:
    return render_page(EVIL, SECTIONS)


def test_everything_is_text(page: str) -> None:
    elements = Elements(page).elements
    assert not {"script", "img", "iframe", "object", "embed", "link", "base", "form"} & {tag for tag, _ in elements}
    assert not [name for _, attributes in elements for name in attributes if name.startswith("on")]
    assert "{{ 7 * 7 }}" in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 9


def test_nothing_comes_from_elsewhere(page: str) -> None:
    policy = next(attributes["content"] for tag, attributes in Elements(page).elements if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    addresses = set(re.findall(r"https?://[^\"'\s)]+", page))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.search(r"@import|url\((?!#)", page)


def test_names_are_there_once_and_links_lead_to_them(page: str) -> None:
    elements = Elements(page).elements
    names = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(set(names)) == len(names) > 20
    for _, attributes in elements:
        for value in (attributes.get("href"), attributes.get("xlink:href")):
            assert value is None or value.removeprefix("#") in names
    assert set(re.findall(r"url\(#([^)]+)\)", page)) <= set(filter(None, names))


def test_what_cannot_be_seen_is_made_visible(page: str) -> None:
    assert "\u202e" not in page
    assert "\x00" not in page
    assert "<U+202E>turned␀<U+D800>".replace("<", "&lt;").replace(">", "&gt;") in page
    page.encode()


def test_a_line_end_at_the_beginning_of_a_text_stays(page: str) -> None:
    """A browser drops the first line end behind `<pre>`."""
    assert re.search(r"<pre[^>]*>\n\n&lt;/pre&gt;", page)


def test_the_same_sections_are_the_same_page(page: str) -> None:
    assert render_page(EVIL, SECTIONS) == page


def test_tables_and_charts_have_text_alternatives(page: str) -> None:
    assert 'aria-label="Plan ACC. Bars with 95 % intervals. A &lt;b&gt;: 0.50 (0.4 to 0.6); ' in page
    assert page.count('<th scope="row"') == 1
    assert page.count('<th scope="col"') == 2
    assert "<caption>" in page


def test_the_axes_hold_the_data_and_its_intervals() -> None:
    curve = Line("a", [1e5, 8e5], [0.2, 0.4], [0.1, 0.3], [0.35, 0.72])
    for series in ([curve], [curve, Line("b", [2e5], [0.1], [0.05], [0.2])]):
        ticks = re.findall(r">([^<>]+)</text>", lines("a", series, x="tokens", y="share").svg)
        assert "800 k" in ticks
        assert "0.7" in ticks


def test_a_chart_of_nothing_can_be_drawn() -> None:
    assert "<svg" in bars("none", []).svg
    assert "<svg" in lines("none", [], x="x", y="y").svg


def test_markdown_has_the_tables_and_nothing_is_markup() -> None:
    text = render_markdown(EVIL, SECTIONS)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "| run | \\</pre\\>\\<script\\>alert(1)" in text
    assert "| --- | ---: |\n| A | " in text
    assert "svg" not in text
    assert "Steps" not in text
    fenced = render_markdown("a", [Section("b", [Verbatim("c", "````\nd")])])
    assert fenced == "# a\n\n## b\n\nc:\n\n`````text\n````\nd\n`````\n"
