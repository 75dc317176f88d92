"""Reads an OpenAPI document, JSON or YAML, into plain JSON values within bounds, and resolves its references.

YAML is read with JSON's types only: no dates, no objects, no words like `yes` that become booleans. Aliases and merge
keys are counted as if they were written out. Leaves out the meaning of the values; see `parse`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NoReturn
from urllib.parse import unquote

import yaml

from orchestrator.tools.errors import DocumentError

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 200
MAX_NODES: Final = 1_000_000
MAX_HOPS: Final = 16
SMALLER: Final = "offer a smaller document, for example of the operations that are needed"

Version = Literal["2.0", "3.0", "3.1"]


class UnreadableError(DocumentError):
    """A part of the document is faulty. What it is an optional part of can be read without it."""


def read_text(raw: bytes) -> str:
    """The document's text. Raises `DocumentError` if it is too long, or not UTF-8."""
    if len(raw) > MAX_BYTES:
        raise DocumentError(f"the document is larger than {MAX_BYTES} bytes", field="#", remedy=SMALLER)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError("the document is not UTF-8", field="#", remedy="encode it as UTF-8") from error


def read_document(document: bytes | str) -> dict[str, Any]:
    """The root object of a document, or of its text.

    Raises `DocumentError` for anything that is not one, or is out of bounds.
    """
    text = document if isinstance(document, str) else read_text(document)
    root = _json(text) if text.lstrip().startswith("{") else _yaml(text)
    if not isinstance(root, dict):
        raise _not_openapi("the document is not an object")
    return root


def openapi_version(root: Mapping[str, Any]) -> Version:
    """The version that the document follows; 3.2 is read as 3.1. Raises `DocumentError` for others."""
    if str(root.get("swagger")) in ("2.0", "2"):
        return "2.0"
    version = root.get("openapi")
    if version is None:
        raise _not_openapi("there is no `openapi` field")
    if match := re.match(r"3\.(0|1|2)(\.\d+)?(-.+)?$", str(version)):
        return "3.0" if match[1] == "0" else "3.1"
    raise DocumentError(
        f"version {str(version)[:20]!r} is not supported", field="#/openapi", remedy="use OpenAPI 3.0 or 3.1"
    )


def child(pointer: str, key: str | int) -> str:
    """The JSON pointer one level down (RFC 6901)."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


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
        raise DocumentError(
            f"the reference {target[:200]!r} leads out of the document, and what it names was not fetched",
            field=child(pointer, "$ref"),
            remedy="set `remote_references` for the source, or bundle everything into one document",
        )
    try:
        return at_pointer(root, target)
    except LookupError:
        message = f"the reference {target[:200]!r} leads nowhere"
        raise UnreadableError(message, field=pointer, remedy="correct it or add its target") from None


def at_pointer(root: Any, pointer: str) -> Any:
    """The value at a JSON pointer in URI fragment form. Raises `LookupError` if there is none."""
    node = root
    for part in pointer.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isascii() and key.isdecimal():
            node = node[int(key)]
        elif isinstance(node, Mapping):
            node = node[key]
        else:
            raise LookupError(key)
    return node


def _not_openapi(message: str) -> DocumentError:
    return DocumentError(message, field="#", remedy="give an OpenAPI 3.0 or 3.1 document in JSON or YAML")


def _too_deep() -> DocumentError:
    return DocumentError(f"the document nests deeper than {MAX_DEPTH} levels", field="#", remedy="flatten it")


def _too_many() -> DocumentError:
    return DocumentError(f"the document holds more than {MAX_NODES} values", field="#", remedy=SMALLER)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _same(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _json(text: str) -> Any:
    # An upper bound of the values, so that none of a million empty objects is made.
    if sum(map(text.count, "{[,")) > MAX_NODES and sum(map(_without_texts(text).count, "{[,")) > MAX_NODES:
        raise _too_many()
    try:
        # The hook is Python code: while it is called, other threads get their turn.
        root = json.loads(text, parse_constant=_no_constant, object_hook=_same)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise _not_openapi(f"the document begins like JSON and is not: {str(error)[:200]}") from error
    level = [root]
    for _ in range(MAX_DEPTH + 1):
        level = [item for node in level for item in _items(node) if isinstance(item, dict | list)]
    if level:
        raise _too_deep()
    return root


def _without_texts(text: str) -> str:
    # A text without its end matches, too, so that no text is read twice.
    return re.sub(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', "", text, flags=re.DOTALL)


def _items(node: Any) -> Any:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _yaml(text: str) -> Any:
    try:
        return _Builder().document(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, ValueError) as error:
        where = f" (line {mark.line + 1})" if (mark := getattr(error, "problem_mark", None)) else ""
        problem = getattr(error, "problem", None) or str(error)
        raise _not_openapi(f"the document is not readable as YAML{where}: {str(problem)[:200]}") from error


_PLAIN: Final = (
    (re.compile(r"(?:null|Null|NULL|~|)\Z"), "null"),
    (re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), "bool"),
    (re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"), "int"),
    (re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z"), "float"),
)
# Every plain text that is no string begins with one of these.
_NOT_TEXT: Final = frozenset(["", *"nN~tTfF-+.0123456789"])
_TAG: Final = "tag:yaml.org,2002:"


# The key `<<` where it is not in quotes (YAML 1.1, merge).
_MERGE: Final = object()


@dataclass
class _Open:
    """A list or an object while it is read. `size` and `height` count what it holds, aliases written out."""

    value: Any
    anchor: str | None
    key: Any = None
    has_key: bool = False
    merged: list[dict[str, Any]] = field(default_factory=list)
    size: int = 1
    height: int = 0


class _Builder:
    """Builds JSON values from the events of the YAML parser, without recursion."""

    def __init__(self) -> None:
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._open: list[_Open] = []
        self._size = 0
        self._root: Any = None

    def document(self, events: Iterator[Any]) -> Any:
        documents = 0
        for event in events:
            match event:
                case yaml.ScalarEvent():
                    value = self._key(event) if self._needs_key() else _scalar(event)
                    if event.anchor:
                        self._anchors[event.anchor] = (value, 1, 0)
                    self._add(value, 1, 0)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._start(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._end()
                case yaml.AliasEvent():
                    if (name := event.anchor or "") not in self._anchors:
                        raise ValueError(f"the alias {name[:40]!r} has no anchor before it")
                    self._add(*self._anchors[name])
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise ValueError("there is more than one document")
        return self._root

    def _start(self, event: Any) -> None:
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _TAG + ("map" if mapping else "seq")):
            raise ValueError(f"the tag {event.tag[:80]!r} is not one of JSON's types")
        if len(self._open) > MAX_DEPTH:
            raise _too_deep()
        self._open.append(_Open({} if mapping else [], event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        value = done.value
        for merged in done.merged:
            value = {**merged, **value}
        if done.anchor:
            self._anchors[done.anchor] = (value, done.size, done.height)
        # Its parts were counted when they were added.
        self._add(value, done.size, done.height, counted=True)

    def _add(self, value: Any, size: int, height: int, *, counted: bool = False) -> None:
        self._size += 1 if counted else size
        if self._size > MAX_NODES:
            raise _too_many()
        if len(self._open) + height > MAX_DEPTH + 1:
            raise _too_deep()
        if not self._open:
            self._root = value
            return
        inside = self._open[-1]
        inside.size += size
        inside.height = max(inside.height, height + 1)
        if isinstance(inside.value, list):
            inside.value.append(value)
        elif not inside.has_key:
            if isinstance(value, dict | list):
                raise ValueError("a key is a list or an object")
            inside.key, inside.has_key = value if value is _MERGE else str(value), True
        else:
            inside.has_key = False
            if inside.key is _MERGE:
                inside.merged += _to_merge(value)
            else:
                inside.value[inside.key] = value

    def _needs_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and not self._open[-1].has_key

    @staticmethod
    def _key(event: Any) -> Any:
        """The key as it is written: `200` and `null` are texts here."""
        return _MERGE if event.value == "<<" and event.implicit[0] else event.value


def _to_merge(value: Any) -> list[dict[str, Any]]:
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError("`<<` takes an object or a list of objects")
    # The first of a list wins, and whatever stands beside `<<` wins over all.
    return parts


def _scalar(event: Any) -> Any:
    """The value of a scalar, by its tag or, without one and without quotes, by how it is written."""
    text: str = event.value
    if event.tag in (None, "!"):
        if not event.implicit[0] or text[:1] not in _NOT_TEXT:
            return text
        return _typed(text, next((kind for pattern, kind in _PLAIN if pattern.match(text)), "str"))
    kind = event.tag.removeprefix(_TAG)
    if kind not in ("null", "bool", "int", "float", "str"):
        raise ValueError(f"the tag {event.tag[:80]!r} is not one of JSON's types")
    return _typed(text, kind)


def _typed(text: str, kind: str) -> Any:
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text)
        case "float":
            return float(text)
        case _:
            return text
