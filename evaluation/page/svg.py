"""A figure of matplotlib as SVG that can stand in a page beside others: no metadata, and names of its own."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SETTINGS: dict[str, Any] = {
    # Text stays text: a browser draws it sharply in any size, and its own sans serif is hardly wider than this one.
    "svg.fonttype": "none",
    "svg.hashsalt": "page",
    "font.family": "sans-serif",
    "font.size": 9,
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.7,
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_XMLNS = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_NAME = re.compile(r'\bid="([^"]+)"')
_USE = re.compile(r'(url\(|xlink:href=")#([^")]+)')
_OPENING = re.compile(r'<svg [^>]*?(viewBox="[^"]+")[^>]*>')


def drawn(size: tuple[float, float], draw: Callable[[Figure], None], *, name: str) -> str:
    """The SVG of a figure of this size in inches. No other drawing of a page has its `name`."""
    import matplotlib
    from matplotlib.figure import Figure

    target = io.StringIO()
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # The browser has a glyph for what the font that measures has not.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(target, format="svg", transparent=True, metadata=_NO_METADATA)
    return _inline(target.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """The element alone, in which every name begins with a digest of its own: a page has each name once."""
    prefix = f"c{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:10]}-"
    element = svg[svg.index("<svg") :].strip()
    element = _NAME.sub(lambda found: f'id="{prefix}{found[1]}"', element)
    element = _USE.sub(lambda found: f"{found[1]}#{prefix}{found[2]}", element)
    return _OPENING.sub(lambda found: f'<svg {_XMLNS} {found[1]} aria-hidden="true">', element, count=1)
