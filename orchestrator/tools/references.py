"""`$ref` within one document. References that lead out of it are refused, never fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from orchestrator.tools.document import child
from orchestrator.tools.errors import DocumentError

MAX_HOPS: Final = 16
# What stands below these keys is data of the document's author, not structure.
_DATA = frozenset({"example", "examples", "default", "enum", "const"})


def refuse_remote_references(root: Mapping[str, Any]) -> None:
    """Raises `DocumentError` at the first reference that does not begin with `#/`."""
    for pointer, target in _references(root, "#"):
        if not target.startswith("#/"):
            raise _remote(pointer)


def resolve(root: Mapping[str, Any], node: Any, pointer: str) -> tuple[Any, str]:
    """The node itself, or what its chain of references leads to, and where that stands in the document.

    Raises `DocumentError` for references that lead nowhere, out of the document, or in a circle.
    """
    for _ in range(MAX_HOPS):
        if not isinstance(node, Mapping) or not isinstance(target := node.get("$ref"), str):
            return node, pointer
        node, pointer = lookup(root, target, pointer), target
    raise DocumentError(
        "the references form a circle or a long chain", field=pointer, remedy="refer to the part itself"
    )


def lookup(root: Mapping[str, Any], target: str, pointer: str) -> Any:
    """What a reference that stands at `pointer` names. Raises `DocumentError`."""
    if not target.startswith("#/"):
        raise _remote(pointer)
    node: Any = root
    for part in target[2:].split("/"):
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            raise DocumentError(
                f"the reference {target[:200]!r} leads nowhere",
                field=pointer,
                remedy="correct it or add its target",
            )
    return node


def _remote(pointer: str) -> DocumentError:
    return DocumentError(
        "the reference leads out of the document, which is not followed",
        field=pointer,
        remedy="bundle everything into one document and refer to it with #/...",
    )


def _references(node: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _references(item, child(pointer, index))
    elif isinstance(node, Mapping):
        if isinstance(target := node.get("$ref"), str):
            yield child(pointer, "$ref"), target
        for key, item in node.items():
            if key not in _DATA and not key.startswith("x-"):
                yield from _references(item, child(pointer, key))
