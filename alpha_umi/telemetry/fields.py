"""Values of log lines: bounded, without secrets, and without control characters for terminals.

Values come from users, models and tools. JSON escapes line ends and control characters; the rest is size, numbers that
JSON does not have, and objects whose `repr` fails.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from typing import Any

MAX_CHARACTERS = 4_096
# The end of a traceback is the most useful.
MAX_TRACEBACK = 16_384
MAX_ITEMS = 50
MAX_DEPTH = 4
MAX_INTEGER = 2**63
TRACEBACK = "exception"

_FIRST = ("timestamp", "level", "service", "event")
_SECRETS = frozenset({"authorization", "api_key", "api_keys", "token", "role_token", "password", "cookie"})

Event = MutableMapping[str, Any]


def without_secrets(_: Any, __: str, event: Event) -> Event:
    """Redact fields with the names of secrets."""
    for name in event:
        if str(name).lower() in _SECRETS:
            event[name] = "[redacted]"
    return event


def bounded(_: Any, __: str, event: Event) -> Event:
    """The line with its main fields first, all values bounded. Never raises."""
    names = [name for name in _FIRST if name in event] + [name for name in event if name not in _FIRST]
    retained = {name: event[name] for name in names[:MAX_ITEMS]}
    return {_short(str(name)): _field(name, value) for name, value in retained.items()}


def printable(_: Any, __: str, event: Event) -> Event:
    """For terminals: control and direction characters as escapes, except line ends in tracebacks."""
    for name, value in event.items():
        if isinstance(value, str):
            retained = "\n" if name == TRACEBACK else ""
            event[name] = "".join(char if char.isprintable() or char in retained else _escaped(char) for char in value)
    return event


def _field(name: str, value: Any) -> Any:
    if name == TRACEBACK and isinstance(value, str):
        left_out = len(value) - MAX_TRACEBACK
        return value if left_out <= 0 else f"[{left_out} characters left out]…{value[-MAX_TRACEBACK:]}"
    try:
        return _value(value, MAX_DEPTH)
    except Exception:
        return f"<{type(value).__name__} without a text>"


def _value(value: Any, depth: int) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _short(value)
        case int():
            return int(value) if abs(value) < MAX_INTEGER else _short(hex(value))
        case float():
            return float(value) if math.isfinite(value) else str(value)
        case Mapping() if depth:
            return {_short(_text(key)): _value(item, depth - 1) for key, item in list(value.items())[:MAX_ITEMS]}
        case list() | tuple() | set() | frozenset() if depth:
            return [_value(item, depth - 1) for item in list(value)[:MAX_ITEMS]]
        case _:
            return _short(_text(value))


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _short(text: str) -> str:
    left_out = len(text) - MAX_CHARACTERS
    return str(text) if left_out <= 0 else f"{text[:MAX_CHARACTERS]}…[{left_out} characters left out]"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
