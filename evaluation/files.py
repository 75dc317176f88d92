"""Read text files: what is wrong with one is said with its place and a remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from evaluation.errors import OtherVersion
from recordings.reading import parse_json

# Lines that are made by asking, and the command that asks.
AskedKind = Literal["prediction", "asked", "verdict"]
_MADE_BY: Mapping[AskedKind, str] = {"prediction": "generate", "asked": "trajectories", "verdict": "judge"}


def _cut_line_remedy(line: str, kind: AskedKind, *, last: bool) -> str:
    """What to do about a line of a growing file that ends in its middle. Lines of its `kind` can be asked for again.

    What is cut at the end of the file (`last`) its command takes off by itself; anywhere else it refuses to go on.
    """
    command = f"`alpha-umi evaluate {_MADE_BY[kind]}`"
    if last:
        return f"give the {command} again that made it: it goes on from the last whole line"
    if line.startswith(f'{{"kind":"{kind}"'):
        return f"take this line out, and give the {command} again that made the file: it asks anew for what is missing"
    return f"make the file anew with {command}, under another name: without this line nothing says what it holds"


def json_lines(text: str, path: Path, kind: AskedKind) -> Iterator[tuple[str, str, Any]]:
    """Every line that holds something, with its place and its JSON value; lines of this `kind` can be asked for again.

    Raises as `parse_json` does.
    """
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            place = f"{path}, line {number:,}"
            # Behind the last line end is what `growing_lines` cuts off.
            remedy = _cut_line_remedy(line, kind, last=number == len(lines))
            yield place, line, parse_json(line, place, cut_remedy=remedy)


def require_version(value: Any, place: str, version: int) -> None:
    """Raises `OtherVersion` for the first line of a file that an earlier or a later program wrote."""
    found = value.get("version", version) if isinstance(value, dict) else version
    if isinstance(found, int) and found != version:
        raise OtherVersion(
            f"{place}: the file is of version {found}, and this program reads version {version}",
            remedy="make it anew, or read it with the alpha-umi that wrote it",
        )
