"""Makes every reference of a document a JSON pointer into it, so that the other modules need to know no other kind.

References by `$id`, `$anchor` and the document's own address are rewritten in place. References to other documents are
rewritten once these were fetched: `bundled` puts them under `#/x-remote`, each under its address. What cannot be
rewritten stays as it is, and only the operations that need it are left out. `$recursiveRef` is read as a reference to
the nearest schema around it that has `$recursiveAnchor`. Source: OpenAPI 3.1.1, 4.6 (relative references), and JSON
Schema 2020-12 core, 8 and 9.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urldefrag, urljoin

from orchestrator.tools.errors import DocumentError, SourceUnreachableError
from orchestrator.tools.openapi.document import MAX_BYTES, SMALLER, at_pointer, child, read_document

REMOTE: Final = "x-remote"
MAX_REMOTE_DOCUMENTS: Final = 2_000
_AT_ONCE: Final = 8
# What stands below these keys is data of the document's author, not structure.
_DATA = frozenset({"example", "examples", "default", "enum", "const"})
# The keys of what stands below these are names, not keywords.
_NAMES = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions", "schemas"})

# Returns a document, JSON or YAML, by its address without a fragment. Raises `ToolSourceError`.
Load = Callable[[str], Awaitable[bytes]]


class _Reference(NamedTuple):
    """`node[key]` is the reference. `base` is the address that it is relative to, `own` the pointer of that."""

    node: dict[str, Any]
    key: str
    base: str
    own: str


class _Place(NamedTuple):
    """A list or an object. Its keys are `names`, or keywords. `anchor` is where a `$recursiveRef` within it leads."""

    node: Any
    pointer: str
    base: str
    own: str
    anchor: str
    names: bool = False


class References:
    """The references of a document and of the documents that were added to it."""

    def __init__(self, root: dict[str, Any], address: str | None) -> None:
        self._root = root
        self._pointers: dict[str, str] = {}
        self._anchors: dict[tuple[str, str], str] = {}
        self._dynamic: dict[str, set[str]] = {}
        # By identity, as aliases of YAML make one object stand at several places.
        self._references: dict[tuple[int, str], _Reference] = {}
        base = urldefrag(address or "").url
        self._collect(root, "#", base)

    def missing(self) -> list[str]:
        """The absolute addresses of documents that references lead to and that were not added."""
        targets = (_joined(each.base, each.node[each.key])[0] for each in self._references.values())
        return [url for url in dict.fromkeys(targets) if "://" in url and url not in self._pointers]

    def add(self, address: str, document: Any) -> None:
        """Add a document that references lead to."""
        self._root.setdefault(REMOTE, {})[address] = document
        self._collect(document, _below(f"#/{REMOTE}", address), address)

    def rewrite(self) -> None:
        """Make every reference that leads to a known place a JSON pointer."""
        for each in self._references.values():
            target = self._rewritten(each)
            if target is not None:
                del each.node[each.key]
                each.node["$ref"] = target

    def _rewritten(self, reference: _Reference) -> str | None:
        text = reference.node[reference.key]
        url, fragment = (reference.base, text[1:]) if text.startswith("#") else _joined(reference.base, text)
        own = reference.own if url == reference.base else self._pointers.get(url)
        if own is None:
            return None
        if fragment and not fragment.startswith("/"):
            name = unquote(fragment)
            places = self._dynamic.get(name, set())
            if reference.key == "$dynamicRef" and places:
                # Which one is meant depends on the way to it, unless there is only one.
                return next(iter(places)) if len(places) == 1 else None
            return self._anchors.get((url, name))
        if own == "#":
            return f"#{fragment}" if fragment else None
        target = own + fragment
        # Many documents have an `$id` within, and refer to the whole document all the same.
        return target if url != reference.base or _leads_somewhere(self._root, target) else f"#{fragment}"

    def _collect(self, node: Any, pointer: str, base: str) -> None:
        self._pointers.setdefault(base, pointer)
        way = [self._inside(_Place(node, pointer, base, pointer, pointer))]
        while way:
            place = next(way[-1], None)
            if place is None:
                way.pop()
            else:
                way.append(self._inside(place))

    def _inside(self, place: _Place) -> Iterator[_Place]:
        node, base, own, anchor = place.node, place.base, place.own, place.anchor
        if isinstance(node, list):
            for index, item in enumerate(node):
                if isinstance(item, dict | list):
                    yield _Place(item, f"{place.pointer}/{index}", base, own, anchor)
            return
        if not place.names:
            if isinstance(node.get("$id"), str) and place.pointer != "#":
                base, own = _joined(base, node["$id"])[0], place.pointer
                self._pointers.setdefault(base, own)
            if own == place.pointer or node.get("$recursiveAnchor") is True:
                anchor = place.pointer
            self._note(node, place.pointer, base, own)
            if node.get("$recursiveRef") == "#":
                self._references[id(node), "$recursiveRef"] = _Reference(node, "$recursiveRef", base, anchor)
        for key, item in node.items():
            if isinstance(item, dict | list) and (place.names or not (key in _DATA or key.startswith("x-"))):
                names = not place.names and key in _NAMES
                yield _Place(item, _below(place.pointer, key), base, own, anchor, names)

    def _note(self, node: dict[str, Any], pointer: str, base: str, own: str) -> None:
        for key in ("$anchor", "$dynamicAnchor"):
            if isinstance(name := node.get(key), str):
                self._anchors.setdefault((base, name), pointer)
                if key == "$dynamicAnchor":
                    self._dynamic.setdefault(name, set()).add(pointer)
        for key in ("$ref", "$dynamicRef"):
            target = node.get(key)
            if isinstance(target, str) and (own != "#" or not target.startswith("#/") or key != "$ref"):
                self._references.setdefault((id(node), key), _Reference(node, key, base, own))


def bundling(raw: bytes, address: str | None) -> Generator[list[str], list[bytes | None], bytes]:
    """The document as JSON, with the documents that it refers to inside; `raw` if it refers to none.

    It yields the addresses of documents, and takes what stands there; None is passed over, as is what cannot be read.
    Raises `DocumentError` for a document that is none, and if all documents together exceed the bounds of one.
    """
    root = read_document(raw)
    references = References(root, address)
    tried: set[str] = set()
    size = len(raw)
    while missing := [url for url in references.missing() if url not in tried]:
        tried.update(missing)
        if len(tried) > MAX_REMOTE_DOCUMENTS:
            raise _too_many(f"the document refers to more than {MAX_REMOTE_DOCUMENTS} other documents")
        for start in range(0, len(missing), _AT_ONCE):
            some = missing[start : start + _AT_ONCE]
            for url, part in zip(some, (yield some), strict=True):
                document = _readable(part)
                if part is not None and document is not None:
                    size += len(part)
                    if size > MAX_BYTES:
                        raise _too_many(f"the document and those it refers to are larger than {MAX_BYTES} bytes")
                    references.add(url, document)
    if not root.get(REMOTE):
        return raw
    references.rewrite()
    return json.dumps(root, ensure_ascii=False).encode("utf-8", "surrogatepass")


async def bundled(raw: bytes, address: str | None, load: Load) -> bytes:
    """What `bundling` returns, with the documents that `load` returns."""
    job = bundling(raw, address)
    try:
        urls = next(job)
        while True:
            urls = job.send(await loaded(urls, load))
    except StopIteration as done:
        return bytes(done.value)


async def loaded(urls: Sequence[str], load: Load) -> list[bytes | None]:
    """The documents of these addresses, None for those that cannot be loaded."""

    async def one(url: str) -> bytes | None:
        try:
            return await load(url)
        except (DocumentError, SourceUnreachableError):
            return None

    return await asyncio.gather(*map(one, urls))


def _readable(part: bytes | None) -> Any:
    try:
        return None if part is None else read_document(part)
    except DocumentError:
        return None


def _below(pointer: str, key: str) -> str:
    """The pointer one level down, in the form that stands in a reference."""
    return (
        child(pointer, key) if key.isidentifier() else f"{pointer}/{quote(child('', key)[1:], '~', errors='replace')}"
    )


def _joined(base: str, reference: str) -> tuple[str, str]:
    """Address and fragment of a reference; one that is no address leads nowhere."""
    try:
        url, fragment = urldefrag(urljoin(base, reference))
    except ValueError:
        return reference, ""
    return url, fragment


def _leads_somewhere(root: dict[str, Any], pointer: str) -> bool:
    try:
        at_pointer(root, pointer)
    except LookupError:
        return False
    return True


def _too_many(message: str) -> DocumentError:
    return DocumentError(message, field="remote_references", remedy=SMALLER)
