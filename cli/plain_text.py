"""Text from models, tools and servers as the library that prints on a terminal takes it."""

from __future__ import annotations

from rich.text import Text

from alpha_umi.plain_text import bounded, plain, plain_line

__all__ = ["as_text", "bounded", "plain", "plain_line"]


def as_text(text: str, style: str = "") -> Text:
    """The text for rich, which reads no markup in it."""
    return Text(plain(text), style=style)
