"""Mutations of JSON values (not of its text)."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 1.5, -0.0, 1e308, 10**30, float("inf"), float("nan")),
    *("", "a", "\x00", "\ud800", "#", "#/", "#/$defs/d", "null", "object", "/../", "{item}", "x" * 300),
    *([], {}, [[]], [None], {"": None}, {"$ref": "#"}, {"type": 5}, {"enum": []}, [{}] * 20),
]
Place = tuple[Any, Any]


def spoilt_json(data: bytes, source: random.Random, *, at_most: int = 4) -> bytes | None:
    """A document with a few values replaced, moved or removed; None for invalid JSON."""
    try:
        document = [json.loads(data)]
    except (ValueError, RecursionError):
        return None
    for _ in range(source.randint(1, at_most)):
        places = list(_places(document))
        inside, key = source.choice(places)
        _spoil(inside, key, source.choice(places), source)
        if not document:
            break
    return json.dumps(document[0] if document else None).encode()


def _spoil(inside: Any, key: Any, other: Place, source: random.Random) -> None:
    match source.randrange(4):
        case 0:
            del inside[key]
        case 1:
            inside[key] = json.loads(json.dumps(other[0][other[1]]))
        case 2 if isinstance(inside, dict):
            inside[source.choice(["", "\x00", "type", "$ref", "enum", str(other[1])])] = inside.pop(key)
        case _:
            inside[key] = json.loads(json.dumps(source.choice(STRANGE)))


def _places(node: Any) -> Iterator[Place]:
    """Every value, as its container and key."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from _places(node[key])
