"""Charts as SVG, readable in black and white and on a narrow screen: hatching and markers beside colours, short lines.

Bars are horizontal, so that their names stand on lines of their own; whiskers are 95 % intervals. An SVG has no
metadata, and ids that are unique in its page.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alpha_umi.plain_text import both_ends
from evaluation.page.blocks import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

WIDTH = 4.5
NAME_CHARACTERS = 24
LEGEND_CHARACTERS = 30
# Six colours and five styles: thirty combinations.
_FILLS = ("#9ecae1", "#fdd0a2", "#c7e9c0", "#dadaeb", "#f7f7f7", "#fcbba1")
# Hatchings of straight lines; one of circles takes 140 kB in every drawing.
_HATCHES = ("", "////", "----", "xxxx", "||||")
_INKS = ("#08519c", "#a63603", "#006d2c", "#54278f", "#252525", "#a50f15")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_DASHES = ("-", "--", "-.", ":", (0, (8, 2, 1, 2, 1, 2)))


@dataclass(frozen=True)
class Bar:
    """A value with its interval, if any."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    # The formatted value beside the bar.
    text: str = "–"


@dataclass(frozen=True)
class Line:
    """Points in order of x. `lows` and `highs` are the ends of their intervals, or empty.

    `rings` are points beside the line, of the same series.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    lows: Sequence[float] = ()
    highs: Sequence[float] = ()
    rings: Sequence[tuple[float, float]] = ()


def bars(title: str, values: Sequence[Bar], *, of: str = "", maximum: float | None = None, axis: str = "") -> Chart:
    """A bar for each value, with its text on the right. `maximum` is the end of the axis, else the data's.

    No other chart of a page has the same title and is `of` the same.
    """
    message = "; ".join(f"{bar.name}: {bar.text}{_ends(bar)}" for bar in values)
    top = maximum or max([bar.high or bar.value or 0 for bar in values], default=0) or 1

    def draw(axes: Axes) -> None:
        for place, bar in enumerate(values):
            _draw_bar(axes, place, bar)
        axes.set(xlim=(0, top * 1.001), ylim=(len(values) - 0.4, -0.6), yticks=range(len(values)), xlabel=axis)
        axes.set_yticklabels([both_ends(bar.name, NAME_CHARACTERS) for bar in values])
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=4)
        axes.xaxis.set_major_formatter(_number)

    height = 0.65 + 0.27 * len(values) + (0.15 if axis else 0)
    svg = drawn((WIDTH, height), lambda figure: draw(figure.subplots()), name=f"{of}/{title}")
    return Chart(title, f"Bars with 95 % intervals{_of(of)}. {message}.", svg)


def lines(title: str, series: Sequence[Line], *, x: str, y: str, of: str = "", points: bool = True) -> Chart:
    """A line for each series; all of its `points` are marked, or only some. Bars at them are 95 % intervals.

    No other chart of a page has the same title and is `of` the same.
    """
    message = "; ".join(f"{line.name}: from {line.ys[0]:.3g} to {line.ys[-1]:.3g}" for line in series if line.ys)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, line in enumerate(series):
            _draw_line(axes, place, line, aside=_aside(figure, place, series), points=points)
        axes.set(xlabel=x, ylabel=y, ylim=(0, None))
        axes.locator_params(axis="x", nbins=4)
        axes.xaxis.set_major_formatter(_number)
        # Below the chart, where it hides no point.
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", frameon=False)

    svg = drawn((WIDTH, 3 + 0.2 * len(series)), draw, name=f"{of}/{title}")
    return Chart(title, f"Lines of {y} over {x}{_of(of)}. {message}.", svg)


def _draw_bar(axes: Axes, place: int, bar: Bar) -> None:
    fill, hatch = _FILLS[place % len(_FILLS)], _HATCHES[place % len(_HATCHES)]
    if bar.value is not None:
        axes.barh(place, bar.value, 0.68, color=fill, hatch=hatch, edgecolor="#333333", linewidth=0.8)
    if bar.value is not None and bar.low is not None and bar.high is not None:
        axes.plot([bar.low, bar.high], [place, place], color="#000000", lw=1.3, marker="|", ms=6)
    axes.annotate(bar.text, (1.04, place), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)


def _draw_line(axes: Axes, place: int, line: Line, *, aside: Transform | None, points: bool) -> None:
    ink, marker, dash = _INKS[place % len(_INKS)], _MARKERS[place % len(_MARKERS)], _DASHES[place % len(_DASHES)]
    shift = axes.transData if aside is None else axes.transData + aside
    (drawn_line,) = axes.plot(line.xs, line.ys, color=ink, marker=marker, lw=1.3, ms=5, transform=shift)
    name, apart = both_ends(line.name, LEGEND_CHARACTERS), 1 if points else max(1, len(line.xs) // 6)
    drawn_line.set(label=name, linestyle=dash, markevery=apart)
    # Shifted markers do not extend the axes automatically.
    axes.update_datalim([*zip(line.xs, line.ys, strict=True), *zip(line.xs, line.highs, strict=False)])
    axes.autoscale_view()
    for x, low, high in zip(line.xs, line.lows, line.highs, strict=False):
        axes.plot([x, x], [low, high], color=ink, lw=1, marker="_", ms=4, transform=shift)
    if line.rings:
        axes.plot(*zip(*line.rings, strict=True), ls="", marker=marker, ms=9, mfc="none", mec=ink, mew=1.4)


def _aside(figure: Figure, place: int, series: Sequence[Line]) -> Transform | None:
    """A small shift, so that intervals of several series do not overlap."""
    from matplotlib.transforms import ScaledTranslation

    if not any(line.lows for line in series):
        return None
    return ScaledTranslation((place - (len(series) - 1) / 2) * 4 / 72, 0, figure.dpi_scale_trans)


def _of(of: str) -> str:
    return f" of {of}" if of else ""


def _number(value: float, _: object) -> str:
    """A tick label; thousands and millions are abbreviated, so that labels do not overlap."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == ' k' else size):,.10g}{unit}"
    return f"{value:,.10g}"


def _ends(bar: Bar) -> str:
    return "" if bar.low is None or bar.high is None else f" ({bar.low:.3g} to {bar.high:.3g})"


_SETTINGS: dict[str, Any] = {
    # Text stays text: a browser renders it sharply in any size, and its sans serif is hardly wider than this one.
    "svg.fonttype": "none",
    "svg.hashsalt": "page",
    "font.family": "sans-serif",
    "font.size": 9,
    # No TeX markup in names.
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
        # The browser has glyphs that the measuring font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(target, format="svg", transparent=True, metadata=_NO_METADATA)
    return _inline(target.getvalue(), name)


def _inline(svg: str, name: str) -> str:
    """The SVG element with ids prefixed by a digest, so that they are unique in a page."""
    prefix = f"c{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:10]}-"
    element = svg[svg.index("<svg") :].strip()
    element = _NAME.sub(lambda match: f'id="{prefix}{match[1]}"', element)
    element = _USE.sub(lambda match: f"{match[1]}#{prefix}{match[2]}", element)
    return _OPENING.sub(lambda match: f'<svg {_XMLNS} {match[1]} aria-hidden="true">', element, count=1)
