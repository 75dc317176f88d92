"""JSON whose numbers keep the digits that were written: `1.10` stays `1.10`, and a long fraction loses nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn, Self

from alpha_umi.roles.caller import parse_call
from alpha_umi.roles.errors import UnreadableOutput


class WrittenNumber(float):
    """A number with a fraction or an exponent, and its JSON text. Everywhere else it is a `float`."""

    text: str

    def __new__(cls, text: str) -> Self:
        """The number that `text` writes."""
        number = super().__new__(cls, text)
        number.text = text
        return number


def read_json(text: str) -> Any:
    """The value of a JSON text. Raises `ValueError`, and `RecursionError` for endless nesting."""
    return _DECODER.decode(text)


def write_json(value: Any) -> str:
    """The compact JSON text of a value. Raises `ValueError` for infinities that were not read from a text."""
    match value:
        case Mapping():
            members = (f"{json.dumps(name, ensure_ascii=False)}:{write_json(item)}" for name, item in value.items())
            return "{" + ",".join(members) + "}"
        case list():
            return "[" + ",".join(map(write_json, value)) + "]"
        case WrittenNumber():
            return value.text
        case _:
            return json.dumps(value, ensure_ascii=False, allow_nan=False)


def with_written_numbers(arguments: Mapping[str, Any], turn: str) -> Mapping[str, Any]:
    """The arguments, their numbers with the digits in the caller's turn; unchanged if the turn has other arguments."""
    try:
        written = read_json(parse_call(turn).arguments_text)
    except UnreadableOutput:
        return arguments
    return written if written == arguments else arguments


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Making a decoder takes longer than reading a short text.
_DECODER: Final = json.JSONDecoder(parse_float=WrittenNumber, parse_constant=_refuse_constant)
