"""One self-contained HTML page: no scripts, and no external resources.

The template escapes every text, so that HTML in observations is displayed as text. The page's content security policy
forbids external resources.
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
        # Applied to every unescaped value that a template prints.
        finalize=_shown,
    )
    return environment.get_template("page.html.j2")


def _shown(value: object) -> object:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
