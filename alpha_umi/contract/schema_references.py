"""References in a tool's schema: local, resolvable, and without cycles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

MAX_CHAIN = 32

# Keywords with data instead of schemas; and maps whose keys are free names.
_DATA = frozenset({"const", "default", "enum", "example", "examples"})
_DEFINITIONS = frozenset({"$defs", "definitions"})
_NAMED = frozenset({"dependentSchemas", "patternProperties", "properties"}) | _DEFINITIONS
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


class ToolSchemaError(ValueError):
    """A schema is unusable. `pointer` is the JSON pointer of the place in it, `tool` the name if known."""

    def __init__(self, reason: str, *, pointer: str = "", remedy: str = "", tool: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.pointer = pointer
        self.remedy = remedy
        self.tool = tool


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
    """Raises `ToolSchemaError` for a reference that is not local, has no target, or is part of a cycle."""
    for reference, pointer in _references(schema, "", definitions=True):
        if not pointer.endswith("/$ref") or not (reference == "#" or str(reference).startswith("#/")):
            raise ToolSchemaError(
                f"{reference!r} refers to another document or scope",
                pointer=pointer,
                remedy="use references that begin with #/",
            )
    _check_cycles(schema, schema, "", (), set())


def _check_cycles(root: Mapping[str, Any], node: Any, place: str, chain: tuple[str, ...], done: set[str]) -> None:
    for reference, pointer in _references(node, place, definitions=False):
        if reference in chain or reference == "#":
            raise ToolSchemaError(
                f"{reference} refers to itself", pointer=pointer, remedy="unfold it as deep as calls need it"
            )
        if len(chain) >= MAX_CHAIN:
            raise ToolSchemaError(
                f"more than {MAX_CHAIN} references lead from one to the next", pointer=pointer, remedy="unfold some"
            )
        if reference not in done:
            target = resolve(root, reference, pointer.removesuffix("/$ref"))
            _check_cycles(root, target, reference.removeprefix("#"), (*chain, reference), done)
            done.add(reference)


def _references(node: Any, pointer: str, *, definitions: bool) -> Iterator[tuple[Any, str]]:
    """Every reference that a validator follows, with its place; `definitions` includes unused ones."""
    if isinstance(node, list):
        for position, value in enumerate(node):
            yield from _references(value, step(pointer, position), definitions=definitions)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            here = step(pointer, key)
            if key in _REFERENCES:
                yield value, here
            elif key in _NAMED and isinstance(value, Mapping):
                if definitions or key not in _DEFINITIONS:
                    for name, schema in value.items():
                        yield from _references(schema, step(here, name), definitions=definitions)
            elif key not in _DATA:
                yield from _references(value, here, definitions=definitions)
