"""One self-contained HTML page: no script, and nothing that a browser would have to fetch.

Every text is escaped by the template, so that HTML in what a tool answered is shown as text. The page's policy allows
nothing from elsewhere, whatever it came to hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from alpha_umi.plain_text import plain
from evaluation.page.blocks import Section


def render_page(title: str, sections: Sequence[Section]) -> str:
    """The page, with a table of contents. Anchors have to be unique among all sections."""
    return _template().render(title=title, sections=sections).lstrip()


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("evaluation.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # What a template prints that was not escaped already goes through this first.
        finalize=_shown,
    )
    return environment.get_template("page.html.j2")


def _shown(value: object) -> object:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
