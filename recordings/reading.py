"""Read text, JSON and entries of data files. Errors name file, line and field, and have a remedy.

An invalid entry raises its error, unless the caller passes another handler (`OnInvalid`).
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recordings.errors import FORMAT_REMEDY, REMEDY, CutShort, DuplicateId, FileUnreadable, NotTheFormat, some

CUT_REMEDY = "restore the complete file"
# Compressed data is decompressed in memory.
MAX_UNPACKED = 512 * 2**20


class Entry(BaseModel):
    """An entry of a data file. Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


Text = Annotated[str, Field(min_length=1)]
Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value")
Parsed = TypeVar("Parsed")
# Receives the error of an invalid entry. The entry is skipped, unless the handler raises the error.
OnInvalid = Callable[[NotTheFormat], None]
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
    """The JSON value of a text. Raises `CutShort` if the text ends too early, `NotTheFormat` if it is not JSON."""
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


def not_the_format(place: str, error: ValidationError, remedy: str = FORMAT_REMEDY) -> NotTheFormat:
    """The first of pydantic's errors, as an error about `place`."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    where = f"{place}: {field}" if field else place
    return NotTheFormat(f"{where}: {first['msg']}", remedy=remedy)


def refuse_duplicates(ids: Sequence[str], what: str) -> None:
    """Raise `DuplicateId` unless all ids are different."""
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise DuplicateId(f"{what} share the id {some(repeated)}", remedy="leave one of each, or name them apart")


def reject(error: NotTheFormat) -> NoReturn:
    """Raise the error of an invalid entry."""
    raise error


def parse_each(values: Iterable[Value], parse: Callable[[Value], Parsed], on_invalid: OnInvalid) -> Iterator[Parsed]:
    """Parse each value; invalid ones are passed to `on_invalid` and skipped."""
    for value in values:
        try:
            parsed = parse(value)
        except NotTheFormat as error:
            on_invalid(error)
        else:
            yield parsed


def read_lines(path: Path, model: type[Model], on_invalid: OnInvalid = reject) -> list[Model]:
    """The entries of a file of JSON lines, compressed with gzip if its name ends in `.gz`. Raises `DataError`."""
    # Not `splitlines`: JSON text may contain other line separators.
    lines = [(number, line) for number, line in enumerate(_text(path).split("\n"), start=1) if line.strip()]

    def read(numbered: tuple[int, str]) -> Model:
        number, line = numbered
        return _entry(_json(line, path, number), model, f"{path}, line {number}")

    return list(parse_each(lines, read, on_invalid))


def read_list(path: Path, model: type[Model], on_invalid: OnInvalid = reject) -> list[Model]:
    """The entries of a file that holds one JSON list. Raises `DataError`."""
    value = parse_json(_text(path), str(path), cut_remedy=CUT_REMEDY, remedy=REMEDY)
    if not isinstance(value, list):
        raise NotTheFormat(f"{path} holds no list of entries", remedy=CUT_REMEDY)

    def read(numbered: tuple[int, Any]) -> Model:
        number, entry = numbered
        return _entry(entry, model, f"{path}, entry {number}")

    return list(parse_each(enumerate(value, start=1), read, on_invalid))


def read_entry(value: Any, model: type[Model], place: str) -> Model:
    """A value as an entry. Raises `NotTheFormat`."""
    return _entry(value, model, place)


def read_json_entry(text: str, model: type[Model], place: str) -> Model:
    """JSON text as an entry, with pydantic's conversions of JSON such as times. Raises `NotTheFormat`."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise not_the_format(place, error, REMEDY) from error


def _json(line: str, path: Path, number: int) -> Any:
    return parse_json(line, f"{path}, line {number}", cut_remedy=CUT_REMEDY, remedy=REMEDY)


def _entry(value: Any, model: type[Model], place: str) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise not_the_format(place, error, REMEDY) from error


def _text(path: Path) -> str:
    return _unpacked(path) if path.suffix == ".gz" else read_text(path)


def _unpacked(path: Path) -> str:
    try:
        with gzip.open(path, "rb") as file:
            raw = file.read(MAX_UNPACKED + 1)
    except EOFError as error:
        raise CutShort(f"{path} ends in the middle", remedy=CUT_REMEDY) from error
    except (OSError, zlib.error) as error:
        raise FileUnreadable(f"{path} cannot be decompressed: {error}", remedy=CUT_REMEDY) from error
    if len(raw) > MAX_UNPACKED:
        raise FileUnreadable(f"{path} is larger than {MAX_UNPACKED:,} bytes", remedy="use a part of it")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise FileUnreadable(f"{path} is not text in UTF-8", remedy=CUT_REMEDY) from error


def _ends_early(error: json.JSONDecodeError) -> bool:
    """Whether the text is a prefix of JSON, cut between two values or inside one."""
    read, left = error.doc[: error.pos], error.doc[error.pos :].rstrip()
    return (
        not left
        or error.msg.startswith("Unterminated string")
        or (" escape" in error.msg and _CUT_ESCAPE.fullmatch(left) is not None)
        or (read[-1:].isdigit() and _CUT_NUMBER.fullmatch(left) is not None)
        or any(word.startswith(left) for word in _WORDS)
    )
