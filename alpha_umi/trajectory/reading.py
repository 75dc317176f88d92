"""Make dataclasses of plain values, and refuse values of other types than the fields declare.

What stands in a log was written by us, but by another version perhaps, or it was damaged since. A wrong type would
otherwise come to light far from here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Made = TypeVar("Made")
# Turns a plain value into that of a field. Raises `TypeError`.
Read = Callable[[Any], Any]


def made_of(kind: type[Made], values: Mapping[str, Any]) -> Made:
    """An instance with these fields; those with a default may be missing.

    Raises `TypeError` or `ValueError` that names the field at fault.
    """
    readers = _readers(kind)  # type: ignore[arg-type]  # mypy does not see that classes are hashable
    return kind(**{name: _field(name, readers, value) for name, value in values.items()})


def _field(name: str, readers: Mapping[str, Read], value: Any) -> Any:
    if name not in readers:
        raise TypeError(f"there is no field {name!r}")
    try:
        return readers[name](value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


@cache
def _readers(kind: type) -> dict[str, Read]:
    hints = get_type_hints(kind)
    return {item.name: _reader(hints[item.name]) for item in fields(kind)}


def _reader(hint: Any) -> Read:
    """What reads values of a declared type."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin in (Union, UnionType):
        return _optional(*inner)
    if origin is Literal:
        return _checked(lambda value: isinstance(value, str) and value in inner, f"one of {', '.join(inner)}")
    if origin is tuple:
        return _tuple(_reader(inner[0]))
    if is_dataclass(hint) and isinstance(hint, type):
        return lambda value: made_of(hint, _mapping(value))
    if hint is int:
        return _checked(lambda value: isinstance(value, int) and not isinstance(value, bool), "int")
    if hint is bool:
        return _checked(lambda value: isinstance(value, bool), "bool")
    return _text if hint is str else _mapping


def _optional(some: Any, nothing: type[None]) -> Read:
    read = _reader(some)
    return lambda value: None if value is None else read(value)


def _tuple(read: Read) -> Read:
    def of_items(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{type(value).__name__} instead of a list")
        return tuple(map(read, value))

    return of_items


def _checked(fits: Callable[[Any], bool], wanted: str) -> Read:
    def same(value: Any) -> Any:
        if not fits(value):
            raise TypeError(f"{value!r:.40} instead of {wanted}")
        return value

    return same


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and (value.isascii() or _is_json(value))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value) and _is_json(value)


def _is_json(value: Any) -> bool:
    """Whether JSON in UTF-8 can hold it, which half a surrogate pair keeps it from."""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


_text = _checked(_is_text, "text")
_mapping = _checked(_is_object, "an object")
