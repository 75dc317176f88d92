"""Entries of data files, checked by their models: what is wrong is said with file, line and field.

A broken entry ends the reading, unless whoever reads has another use for it (`OnBroken`).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.errors import CutShort, FileUnreadable, NotTheFormat
from evaluation.files.jsonl import not_the_format, parse_json, read_text
from evaluation.suites.errors import REMEDY

CUT_REMEDY = "put the whole file there"
# Data is unpacked into memory.
MAX_UNPACKED = 512 * 2**20


class Entry(BaseModel):
    """An entry of a data file. Fields that nobody needs are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


Text = Annotated[str, Field(min_length=1)]
Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value")
Made = TypeVar("Made")
# Takes what is wrong with an entry, which then is left out, or raises it.
OnBroken = Callable[[NotTheFormat], None]


def refuse(error: NotTheFormat) -> NoReturn:
    """Raises it: data with a broken entry is not used."""
    raise error


def each_whole(values: Iterable[Value], make: Callable[[Value], Made], on_broken: OnBroken) -> Iterator[Made]:
    """What is made of each value, but for the broken ones, which `on_broken` is told."""
    for value in values:
        try:
            made = make(value)
        except NotTheFormat as error:
            on_broken(error)
        else:
            yield made


def read_lines(path: Path, model: type[Model], on_broken: OnBroken = refuse) -> list[Model]:
    """The entries of a file of JSON lines, packed with gzip if its name says so. Raises `EvaluationError`."""
    # Not `splitlines`: a JSON text may hold other ends of lines as they are.
    lines = [(number, line) for number, line in enumerate(_text(path).split("\n"), start=1) if line.strip()]

    def read(numbered: tuple[int, str]) -> Model:
        number, line = numbered
        return _entry(_json(line, path, number), model, f"{path}, line {number}")

    return list(each_whole(lines, read, on_broken))


def read_list(path: Path, model: type[Model], on_broken: OnBroken = refuse) -> list[Model]:
    """The entries of a file that holds one JSON list. Raises `EvaluationError`."""
    value = parse_json(_text(path), str(path), cut_remedy=CUT_REMEDY, remedy=REMEDY)
    if not isinstance(value, list):
        raise NotTheFormat(f"{path} holds no list of entries", remedy=CUT_REMEDY)

    def read(numbered: tuple[int, Any]) -> Model:
        number, entry = numbered
        return _entry(entry, model, f"{path}, entry {number}")

    return list(each_whole(enumerate(value, start=1), read, on_broken))


def read_entry(value: Any, model: type[Model], place: str) -> Model:
    """A value as an entry. Raises `NotTheFormat`."""
    return _entry(value, model, place)


def read_json_entry(text: str, model: type[Model], place: str) -> Model:
    """JSON as an entry, times of day and all. Raises `NotTheFormat`."""
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
        raise FileUnreadable(f"{path} cannot be unpacked: {error}", remedy=CUT_REMEDY) from error
    if len(raw) > MAX_UNPACKED:
        raise FileUnreadable(f"{path} is larger than {MAX_UNPACKED:,} bytes", remedy="take a part of it")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise FileUnreadable(f"{path} is not text in UTF-8", remedy=CUT_REMEDY) from error
