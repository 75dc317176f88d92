"""References in a tool's schema: local, resolvable, and recursive only through a member or an item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

MAX_CHAIN = 32

# Keywords with data instead of schemas; and maps whose keys are free names.
DATA = frozenset({"const", "default", "enum", "example", "examples"})
NAMED = frozenset({"dependencies", "dependentSchemas", "patternProperties", "properties", "$defs", "definitions"})
# Keywords whose schemas apply to the same value, not to a part of it.
_IN_PLACE = frozenset({"allOf", "anyOf", "dependencies", "dependentSchemas", "else", "if", "not", "oneOf", "then"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


class ToolSchemaError(ValueError):
    """A schema is unusable. `pointer` is the JSON pointer of the place in it."""

    def __init__(self, reason: str, *, pointer: str = "", remedy: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.pointer = pointer
        self.remedy = remedy


def step(pointer: str, part: object) -> str:
    """The JSON pointer one step further (RFC 6901)."""
    return f"{pointer}/{str(part).replace('~', '~0').replace('/', '~1')}"


def resolve(root: Mapping[str, Any], reference: str, pointer: str) -> Any:
    """The target of a reference. Raises `ToolSchemaError`; `pointer` is the place of the referring schema."""
    node: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        try:
            node = node[int(name)] if isinstance(node, list) else node[name]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ToolSchemaError(
                f"{reference} refers to nothing", pointer=f"{pointer}/$ref", remedy="define it under $defs"
            ) from None
    return node


def check_references(schema: Mapping[str, Any]) -> None:
    """Raises `ToolSchemaError` for a reference that is not local or has no target, and for one that leads to itself
    without a member or an item between."""
    used = list(_references(schema, ""))
    for reference, pointer in used:
        if not pointer.endswith("/$ref") or not (reference == "#" or str(reference).startswith("#/")):
            raise ToolSchemaError(
                f"{reference!r} refers to another document or scope",
                pointer=pointer,
                remedy="use references that begin with #/",
            )
    done: set[str] = set()
    for reference, pointer in used:
        _check_cycles(schema, reference, pointer, (), done)


def _check_cycles(
    root: Mapping[str, Any], reference: str, pointer: str, chain: tuple[str, ...], done: set[str]
) -> None:
    if reference in chain:
        raise ToolSchemaError(
            f"{reference} refers to itself", pointer=pointer, remedy="refer to it from a member or an item"
        )
    if len(chain) >= MAX_CHAIN:
        raise ToolSchemaError(
            f"more than {MAX_CHAIN} references lead from one to the next", pointer=pointer, remedy="unfold some"
        )
    if reference in done:
        return
    target = resolve(root, reference, pointer.removesuffix("/$ref"))
    for further, place in _references(target, reference.removeprefix("#"), in_place=True):
        _check_cycles(root, str(further), place, (*chain, reference), done)
    done.add(reference)


def _references(node: Any, pointer: str, *, in_place: bool = False) -> Iterator[tuple[Any, str]]:
    """Every reference that a validator follows, with its place; `in_place`: only those that apply to the same value."""
    if isinstance(node, list):
        for position, value in enumerate(node):
            yield from _references(value, step(pointer, position), in_place=in_place)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            here = step(pointer, key)
            if key in _REFERENCES:
                yield value, here
            elif in_place and key not in _IN_PLACE:
                continue
            elif key in NAMED and isinstance(value, Mapping):
                for name, schema in value.items():
                    yield from _references(schema, step(here, name), in_place=in_place)
            elif key not in DATA:
                yield from _references(value, here, in_place=in_place)
