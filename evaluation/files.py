"""Read text files: what is wrong with one is said with its place and a remedy."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from evaluation.errors import CutShort, DuplicateId, FileUnreadable, NotTheFormat, OtherVersion, some

FORMAT_REMEDY = "docs/evaluation.md describes the format"
# Lines that are made by asking, and the command that asks.
AskedKind = Literal["prediction", "asked", "verdict"]
_MADE_BY: Mapping[AskedKind, str] = {"prediction": "generate", "asked": "trajectories", "verdict": "judge"}
# How the rest of a text begins when it was cut inside a word, a number, or an escape.
_WORDS = ("true", "false", "null", "-")
_CUT_NUMBER = re.compile(r"\.|[eE][+-]?")
_CUT_ESCAPE = re.compile(r"\\?u?[0-9a-fA-F]{0,4}")


def read_text(path: Path) -> str:
    """The file's text. Raises `FileUnreadable`."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FileUnreadable(
            f"{path} is not text in UTF-8: byte {error.start:,} is not", remedy="name a JSON file"
        ) from error
    except OSError as error:
        raise FileUnreadable(f"{path} cannot be read: {error.strerror}", remedy="name a file that is there") from error


def parse_json(text: str, place: str, *, cut_remedy: str, remedy: str = FORMAT_REMEDY) -> Any:
    """The JSON value of a text. Raises `CutShort` when it ends too early, `NotTheFormat` when it is no JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if _ends_early(error):
            raise CutShort(f"{place} ends in the middle of its JSON", remedy=cut_remedy) from error
        where = f"line {error.lineno}, column {error.colno}" if "\n" in text.strip() else f"column {error.colno}"
        raise NotTheFormat(f"{place} is not JSON: {error.msg} ({where})", remedy=remedy) from error
    except (ValueError, RecursionError) as error:
        raise NotTheFormat(
            f"{place} is JSON that cannot be read: too deep, or a number too long", remedy=remedy
        ) from error


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


def not_the_format(place: str, error: ValidationError, remedy: str = FORMAT_REMEDY) -> NotTheFormat:
    """What the first of pydantic's complaints says about a place."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    where = f"{place}: {field}" if field else place
    return NotTheFormat(f"{where}: {first['msg']}", remedy=remedy)


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


def refuse_duplicates(ids: Sequence[str], what: str) -> None:
    """Raises `DuplicateId` unless every id stands once."""
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise DuplicateId(f"{what} share the id {some(twice)}", remedy="leave one of each, or name them apart")


def _ends_early(error: json.JSONDecodeError) -> bool:
    """Whether only the rest is missing: the text breaks off between two values or inside one."""
    read, left = error.doc[: error.pos], error.doc[error.pos :].rstrip()
    return (
        not left
        or error.msg.startswith("Unterminated string")
        or (" escape" in error.msg and _CUT_ESCAPE.fullmatch(left) is not None)
        or (read[-1:].isdigit() and _CUT_NUMBER.fullmatch(left) is not None)
        or any(word.startswith(left) for word in _WORDS)
    )
