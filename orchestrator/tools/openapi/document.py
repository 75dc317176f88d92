"""Reads an OpenAPI document, JSON or YAML, into plain JSON values within bounds, and resolves its references.

YAML is read with JSON's types only: no aliases, tags, dates, or words like `yes` that become booleans. Leaves out the
meaning of the values; see `parse`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Literal, NoReturn
from urllib.parse import unquote

import yaml

from orchestrator.tools.errors import DocumentError

MAX_BYTES: Final = 2 * 1024 * 1024
MAX_DEPTH: Final = 64
MAX_NODES: Final = 100_000
_NOT_STORABLE: Final = re.compile("[\x00\ud800-\udfff]")
SMALLER: Final = "offer a smaller document, for example of the operations that are needed"


def read_document(raw: bytes) -> dict[str, Any]:
    """The document's root object. Raises `DocumentError` for anything that is not one, or is out of bounds."""
    if len(raw) > MAX_BYTES:
        raise DocumentError(f"the document is larger than {MAX_BYTES} bytes", field="#", remedy=SMALLER)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentError("the document is not UTF-8", field="#", remedy="encode it as UTF-8") from error
    loaded = _json(text) if text.lstrip().startswith("{") else _yaml(text)
    root = _Bounded().plain(loaded, "#", depth=0)
    if not isinstance(root, dict):
        raise _not_openapi("the document is not an object")
    return root


def openapi_version(root: dict[str, Any]) -> Literal["3.0", "3.1"]:
    """Which of the two versions the document follows. Raises `DocumentError` for others and for non-documents."""
    version = root.get("openapi")
    if isinstance(version, str) and re.fullmatch(r"3\.0\.\d+(-.+)?", version):
        return "3.0"
    if isinstance(version, str) and re.fullmatch(r"3\.1\.\d+(-.+)?", version):
        return "3.1"
    if "swagger" in root:
        raise DocumentError("this is a Swagger 2.0 document", field="#/swagger", remedy="convert it to OpenAPI 3")
    if version is None:
        raise _not_openapi("there is no `openapi` field")
    raise DocumentError(
        f"version {str(version)[:20]!r} is not supported", field="#/openapi", remedy="use OpenAPI 3.0 or 3.1"
    )


def child(pointer: str, key: str | int) -> str:
    """The JSON pointer one level down (RFC 6901)."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def _not_openapi(message: str) -> DocumentError:
    return DocumentError(message, field="#", remedy="give an OpenAPI 3.0 or 3.1 document in JSON or YAML")


def _too_deep() -> DocumentError:
    return DocumentError(f"the document nests deeper than {MAX_DEPTH} levels", field="#", remedy="flatten it")


def _too_many() -> DocumentError:
    return DocumentError(f"the document holds more than {MAX_NODES} values", field="#", remedy=SMALLER)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise _not_openapi(f"the document begins like JSON and is not: {str(error)[:200]}") from error


def _yaml(text: str) -> Any:
    try:
        _scan(text)
        # The loader knows JSON's types only; it constructs no objects.
        return yaml.load(text, Loader=_JsonTypesLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError) as error:
        where = f" (line {mark.line + 1})" if (mark := getattr(error, "problem_mark", None)) else ""
        problem = getattr(error, "problem", None) or str(error)
        raise _not_openapi(f"the document is not readable as YAML{where}: {str(problem)[:200]}") from error


def _scan(text: str) -> None:
    """Raises `DocumentError` for aliases and for too large a document, from the events of the parser alone."""
    depth = nodes = 0
    for event in yaml.parse(text, Loader=_JsonTypesLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise DocumentError(
                "the document uses YAML anchors or aliases",
                field="#",
                remedy="write the repeated part out, or refer to it with $ref",
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        if depth > MAX_DEPTH:
            raise _too_deep()
        if nodes > 2 * MAX_NODES:
            raise _too_many()


class _JsonTypesLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's core schema, reduced to what JSON has. libyaml's parser where PyYAML was built with it."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
    }


for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _JsonTypesLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


class _Bounded:
    """Copies a tree of JSON values, counting them. Numbers as keys (YAML's `200:`) become text."""

    def __init__(self) -> None:
        self._nodes = 0

    def plain(self, value: Any, pointer: str, *, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _too_many()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(value, dict):
            return {
                self._key(key, pointer): self.plain(item, child(pointer, key), depth=depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.plain(item, child(pointer, index), depth=depth + 1) for index, item in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value):
            raise DocumentError("the number is infinite or none", field=pointer, remedy="write a finite number")
        return self._storable(value, pointer) if isinstance(value, str) else value

    def _key(self, key: Any, pointer: str) -> str:
        if isinstance(key, str):
            return self._storable(key, pointer)
        if isinstance(key, int) and not isinstance(key, bool):
            return str(key)
        raise DocumentError(f"the key {str(key)[:40]!r} is not text", field=pointer, remedy="put it in quotes")

    def _storable(self, text: str, pointer: str) -> str:
        """The text. Raises `DocumentError` for escapes that are no characters: they cannot be encoded."""
        if _NOT_STORABLE.search(text):
            raise DocumentError("the text holds NUL or half a surrogate pair", field=pointer, remedy="remove it")
        return text


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
