"""Parses OpenAPI 3.0, 3.1 and Swagger 2.0 documents into operations, each with its tool.

Operations are listed, named and selected before anything else is looked at. Only what a selected operation refers to is
checked. One that cannot become a tool is left out with the reason; the others are not affected. TRACE, webhooks and
callbacks do not become tools.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from alpha_umi.contract.patterns import PatternBudget
from alpha_umi.contract.tool_schema import MAX_PATTERNS_BYTES, ToolSchemaError, check_schema
from alpha_umi.roles.turns import NAME_CHARACTERS
from orchestrator.tools.errors import DocumentError, ToolSourceError
from orchestrator.tools.model import EffectClass, LeftOut, Tool
from orchestrator.tools.openapi.document import (
    Version,
    child,
    openapi_version,
    read_document,
    resolve,
)
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.references import References
from orchestrator.tools.openapi.schema import Schema, SchemaReader
from orchestrator.tools.openapi.security import security_of
from orchestrator.tools.openapi.servers import GIVE_BASE_URL, choose_server, has_dot_segment, operator_base
from orchestrator.tools.openapi.signature import UNSUPPORTED, ArgumentSchema
from orchestrator.tools.openapi.swagger import converted_operation, converted_root
from orchestrator.tools.shorten import storable

MAX_OPERATIONS: Final = 5_000
MAX_SCHEMA_BYTES: Final = 256 * 1024
MAX_DESCRIPTION_CHARACTERS: Final = 1_024
MAX_REASON_CHARACTERS: Final = 500
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_SAFE_METHODS: Final = frozenset({"get", "head", "options"})
_BY_SAFETY = tuple(EffectClass)
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
# RFC 3986, 3.3, and what is encoded already.
_SAFE_IN_PATH: Final = "/%-._~!$&'()*+,;=:@"
_NOT_IN_PATH: Final = re.compile(r"[\\\x00\ud800-\udfff]")
_NOT_IN_QUERY: Final = re.compile(r"[\\{}\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Selection:
    """Which operations to read: those that match every setting that is given, by any of its entries.

    `operations` are tool names or values of `operationId`. `paths` are beginnings of paths, up to a slash, or patterns
    of whole paths with `*`. `methods` are of any case.
    """

    operations: Collection[str] | None = None
    tags: Collection[str] | None = None
    paths: Collection[str] | None = None
    methods: Collection[str] | None = None


EVERYTHING: Final = Selection()


@dataclass(frozen=True)
class Bounds:
    """Parts of the schemas of all tools, and bytes of their compiled patterns.

    What exceeds them is left out or not enforced, or, if they are `strict`, `BoundsExceeded` is raised.
    """

    parts: int
    patterns_bytes: int
    strict: bool = False


FULL: Final = Bounds(250_000, 64 * 2**20)
# Of a document that is read beside other work.
SMALL: Final = Bounds(20_000, 8 * 2**20, strict=True)


class BoundsExceeded(Exception):
    """The document takes more time or memory than the bounds allow."""


def _accept(_: Operation) -> None:
    return None


def parse_document(
    document: bytes | dict[str, Any],
    *,
    source_name: str,
    base_url: str | None,
    default_effect: EffectClass,
    document_url: str | None = None,
    selection: Selection = EVERYTHING,
    trust_effects: bool = False,
    accept: Callable[[Operation], None] = _accept,
    bounds: Bounds = FULL,
) -> tuple[list[Operation], list[LeftOut]]:
    """The operations of a document, or of its root object, that can be offered, and those that cannot, in its order.

    `base_url` is the operator's address for the calls, `document_url` the document's own address. Methods that may
    change something have `default_effect`; an operation's `x-effect` may state a more careful class, and, if
    `trust_effects`, also a less careful one. `accept` raises `ToolSourceError` for operations to leave out. Raises
    `DocumentError` for a document that cannot be read; if no operation can be offered, `ToolSourceError` with the
    reasons; `BoundsExceeded` if the bounds say so.
    """
    root = document if isinstance(document, dict) else read_document(document)
    version = openapi_version(root)
    references = References(root, document_url)
    references.rewrite()
    if version == "2.0":
        root = converted_root(root, document_url)
    parser = _Parser(
        root,
        version,
        source_name,
        base_url=None if base_url is None else operator_base(base_url),
        document_url=document_url,
        default_effect=default_effect,
        trust_effects=trust_effects,
        bounds=bounds,
    )
    refs, errors = _listed(root)
    selected = _selected(refs, selection)
    operations: list[Operation] = []
    left_out = [_left_out("", path, error) for path, error in errors.items()] if selection == EVERYTHING else []
    failures: list[ToolSourceError] = list(errors.values()) if left_out else []
    for name, ref in selected.items():
        try:
            operation, faults = parser.operation(name, ref)
            accept(operation)
        except ToolSourceError as error:
            failures.append(error)
            faults = [error]
        else:
            operations.append(operation)
        left_out += [_left_out(name, f"{ref.method.upper()} {ref.path}", fault, ref.pointer) for fault in faults]
    if parser.unpaid:
        if bounds.strict:
            raise BoundsExceeded
        left_out.append(_left_out("", "patterns", _unpaid(parser.unpaid), "#"))
    if not operations:
        refusal = _nothing_left(failures)
        refusal.left_out = left_out
        raise refusal
    return operations, left_out


@dataclass(frozen=True)
class _OperationRef:
    """An Operation Object, and its place in the document."""

    path: str
    method: str
    node: Mapping[str, Any]
    pointer: str
    path_item: Mapping[str, Any]
    path_pointer: str

    def parameters(self) -> dict[str, Any]:
        """The Parameter Objects of the path and then of the operation, by pointer. Raises `DocumentError`."""
        nodes: dict[str, Any] = {}
        for node, pointer in ((self.path_item, self.path_pointer), (self.node, self.pointer)):
            at = child(pointer, "parameters")
            parameters = node.get("parameters") or []
            if not isinstance(parameters, list):
                raise DocumentError("parameters is not a list", field=at, remedy="write a list")
            nodes |= {child(at, index): parameter for index, parameter in enumerate(parameters)}
        return nodes


@dataclass
class _Parser:
    """Parses the operations of one document."""

    root: Mapping[str, Any]
    version: Version
    source_name: str
    base_url: str | None
    document_url: str | None
    default_effect: EffectClass
    trust_effects: bool
    bounds: Bounds
    parts: int = field(default=0, init=False)
    patterns: PatternBudget = field(init=False)
    unpaid: int = field(default=0, init=False)
    # By digest.
    schemas: dict[bytes, Schema] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.patterns = PatternBudget(self.bounds.patterns_bytes)

    def operation(self, name: str, ref: _OperationRef) -> tuple[Operation, list[ToolSourceError]]:
        """The operation, and the optional parts that it is offered without. Raises `ToolSourceError`."""
        if self.bounds.strict and (self.parts > self.bounds.parts or self.unpaid):
            raise BoundsExceeded
        if self.parts > self.bounds.parts:
            raise DocumentError(
                f"the operations before it have more than {self.bounds.parts} parts of schemas in all",
                field=ref.pointer,
                remedy="select the operations that are needed with `operations`, `tags` or `paths`",
            )
        if not isinstance(resolve(self.root, ref.node, ref.pointer)[0], Mapping):
            raise DocumentError("this is not an operation", field=ref.pointer, remedy="write an object")
        path = _encoded_path(ref)
        security = security_of(self.root, ref.node, ref.pointer)
        carriers = frozenset((scheme.kind, scheme.wire_name) for schemes in security for scheme in schemes)
        node, parameters = ref.node, ref.parameters()
        if self.version == "2.0":
            node, parameters = converted_operation(self.root, node, parameters)
        signature = self._signature(ref, node, parameters, carriers)
        schema = self._checked(signature.schema, ref.pointer)
        method, base_url = ref.method.upper(), self._base_url(ref)
        sent = repr((signature.parameters, signature.body, signature.defaults, security))
        address = f"{method} {base_url}{path} {hashlib.sha256(sent.encode('utf-8', 'replace')).hexdigest()}"
        operation = Operation(
            tool=Tool(name, _description(ref), schema, self.source_name, self._effect(ref), address),
            method=method,
            base_url=base_url,
            path=path,
            parameters=tuple(signature.parameters),
            body=signature.body,
            defaults=signature.defaults,
            security=security,
            answers=self._answers(node),
        )
        return operation, list(signature.reader.passed_over.values())

    def _checked(self, schema: Schema, pointer: str) -> Schema:
        """The schema; equal ones are checked and stored once. Raises `DocumentError`."""
        digest = hashlib.sha256(_written(schema, pointer)).digest()
        if digest not in self.schemas:
            _check_callable(schema, pointer)
            self.schemas[digest] = schema
        return self.schemas[digest]

    def _base_url(self, ref: _OperationRef) -> str:
        if self.base_url is not None:
            return self.base_url
        if self.version == "2.0" and self.document_url is None and not self.root.get("host"):
            message = "the Swagger 2.0 document, which was converted, names no host"
            raise DocumentError(message, field="#/host", remedy=GIVE_BASE_URL)
        places = ((ref.node, ref.pointer), (ref.path_item, ref.path_pointer), (self.root, "#"))
        return choose_server(places, document_url=self.document_url)

    def _signature(
        self,
        ref: _OperationRef,
        node: Mapping[str, Any],
        parameters: Mapping[str, Any],
        withheld: frozenset[tuple[str, str]],
    ) -> ArgumentSchema:
        reader = SchemaReader(self.root, self.version, self.patterns)
        signature = ArgumentSchema(self.root, reader, withheld)
        try:
            signature.add_parameters(_fitting(self.root, ref, parameters))
            if node.get("requestBody") is not None:
                signature.add_body(node["requestBody"], child(ref.pointer, "requestBody"), method=ref.method)
        finally:
            self.parts += reader.parts
            self.unpaid += reader.unpaid
        return signature

    def _effect(self, ref: _OperationRef) -> EffectClass:
        usual = EffectClass.READ if ref.method in _SAFE_METHODS else self.default_effect
        if "x-effect" not in ref.node:
            return usual
        try:
            stated = EffectClass(ref.node["x-effect"])
        except ValueError:
            raise DocumentError(
                "this is not an effect",
                field=child(ref.pointer, "x-effect"),
                remedy=f"write {', '.join(_BY_SAFETY)}",
            ) from None
        return stated if self.trust_effects else max(usual, stated, key=_BY_SAFETY.index)

    def _answers(self, node: Mapping[str, Any]) -> tuple[str, ...]:
        """The media types of success, or else of `default`, in order; answers that cannot be read have none."""
        responses = node.get("responses")
        responses = responses if isinstance(responses, Mapping) else {}
        successes = [
            answer for status, answer in responses.items() if re.fullmatch(r"2(\d\d|XX)", status, re.IGNORECASE)
        ]
        names: dict[str, None] = {}
        for answer in successes or [responses.get("default")]:
            try:
                answer, _ = resolve(self.root, answer, "#")
            except DocumentError:
                continue
            content = answer.get("content") if isinstance(answer, Mapping) else None
            names |= dict.fromkeys(content if isinstance(content, Mapping) else ())
        return tuple(dict.fromkeys(name.partition(";")[0].strip().lower() for name in names))


def _listed(root: Mapping[str, Any]) -> tuple[dict[str, _OperationRef], dict[str, DocumentError]]:
    """All operations by tool name, and the paths that cannot be read."""
    paths = root.get("paths")
    if not isinstance(paths, Mapping) or not paths:
        raise DocumentError("the document has no paths", field="#/paths", remedy="describe at least one operation")
    named: dict[str, _OperationRef] = {}
    errors: dict[str, DocumentError] = {}
    for path, node in paths.items():
        if path.startswith("x-"):
            continue
        try:
            for ref in _path_operations(root, path, node):
                named[_free_name(tool_name(ref.node.get("operationId"), ref.method, path), named)] = ref
        except DocumentError as error:
            errors[path] = error
    if not named and not errors:
        raise DocumentError("the document has no operations", field="#/paths", remedy="describe at least one")
    return named, errors


def _path_operations(root: Mapping[str, Any], path: str, node: Any) -> Iterator[_OperationRef]:
    pointer = child("#/paths", path)
    if not path.startswith("/"):
        raise DocumentError("the path does not begin with a slash", field=pointer, remedy="correct the path")
    item, at = resolve(root, node, pointer)
    if not isinstance(item, Mapping):
        raise DocumentError("this is not a path item", field=at, remedy="write an object")
    if item is not node and isinstance(node, Mapping):
        item = {**item, **{key: value for key, value in node.items() if key != "$ref"}}
    for method in _METHODS:
        if isinstance(operation := item.get(method), Mapping):
            place = child(at, method)
            # Where the reference of an operation leads nowhere, `_Parser.operation` says so.
            with contextlib.suppress(DocumentError):
                operation, place = resolve(root, operation, place)
            yield _OperationRef(path, method, operation, place, item, at)


def tool_name(operation_id: Any, method: str, path: str) -> str:
    """A name of letters, digits, `_` and `-`, at most 64: the operation's own, else made of method and path."""
    for text in (operation_id, f"{method}{path}"):
        if isinstance(text, str) and (name := re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")):
            return name[:NAME_CHARACTERS]
    return method


def _free_name(name: str, taken: Collection[str]) -> str:
    """The name, or the first of `name_2`, `name_3` and so on that is free, cut to 64 characters before the number."""
    free, number = name, 1
    while free in taken:
        number += 1
        suffix = f"_{number}"
        free = name[: NAME_CHARACTERS - len(suffix)] + suffix
    return free


def _selected(refs: Mapping[str, _OperationRef], selection: Selection) -> dict[str, _OperationRef]:
    ids = {
        name: {name, ref.node.get("operationId")} if isinstance(ref.node.get("operationId"), str) else {name}
        for name, ref in refs.items()
    }
    for wanted in selection.operations or ():
        if not any(wanted in each for each in ids.values()):
            raise DocumentError(
                f"there is no operation {wanted!r}", field="operations", remedy=f"there are {', '.join(refs)[:1_000]}"
            )
    chosen = {
        name: ref
        for name, ref in refs.items()
        if (selection.operations is None or not ids[name].isdisjoint(selection.operations))
        and (selection.tags is None or not _tags(ref.node).isdisjoint(selection.tags))
        and (selection.paths is None or any(_matches(ref.path, pattern) for pattern in selection.paths))
        and (selection.methods is None or ref.method in {method.lower() for method in selection.methods})
    }
    if refs and not chosen:
        raise DocumentError("no operation matches all of the selection", field="operations", remedy="select others")
    if len(chosen) > MAX_OPERATIONS:
        raise DocumentError(
            f"{len(chosen)} operations are selected; at most {MAX_OPERATIONS} are read",
            field="#/paths",
            remedy="select those that are needed with `operations`, `tags` or `paths`",
        )
    return chosen


def _tags(node: Mapping[str, Any]) -> set[str]:
    tags = node.get("tags")
    return {tag for tag in tags if isinstance(tag, str)} if isinstance(tags, list) else set()


def _matches(path: str, pattern: str) -> bool:
    if "*" not in pattern:
        return path == pattern or path.startswith(pattern.rstrip("/") + "/")
    first, *inner, last = pattern.split("*")
    if len(path) < len(first) + len(last) or not (path.startswith(first) and path.endswith(last)):
        return False
    # The leftmost place of each part leaves the most for the next: no backtracking.
    position, end = len(first), len(path) - len(last)
    for part in inner:
        position = path.find(part, position, end) + len(part)
        if position < len(part):
            return False
    return True


def _left_out(name: str, operation: str, error: ToolSourceError, pointer: str = "#/paths") -> LeftOut:
    place = error.field if error.field.startswith("#") else pointer
    reason = f"{error.message}; {error.remedy}"
    return LeftOut(*(storable(text)[:MAX_REASON_CHARACTERS] for text in (name, operation, place, reason)))


def _unpaid(number: int) -> DocumentError:
    return DocumentError(
        f"{number} patterns are not checked before a call: when they are compiled, those of an operation may take "
        f"{MAX_PATTERNS_BYTES >> 20} MiB, and those of a document {FULL.patterns_bytes >> 20} MiB",
        field="#",
        remedy="write fewer, or shorter counts such as {1,200}",
    )


def _nothing_left(failures: list[ToolSourceError]) -> ToolSourceError:
    """The reason why no operation can be offered, or, if there are several, each with its number."""
    counted = Counter((error.message, error.remedy) for error in failures)
    if len(counted) == 1:
        return failures[0]
    reasons = [f"{number} x {message} ({remedy})" for (message, remedy), number in counted.most_common(10)]
    more = [f"and {len(counted) - len(reasons)} other reasons"] if len(counted) > len(reasons) else []
    return DocumentError(
        storable(f"none of the {len(failures)} operations can be offered: {'; '.join([*reasons, *more])}"[:2_000]),
        field="#/paths",
        remedy="correct the document, or select other operations",
    )


def _written(schema: Schema, pointer: str) -> bytes:
    """The schema as JSON. Raises `DocumentError` if it is too large, or holds what JSON in UTF-8 cannot."""
    problem, written = "", b""
    try:
        text = json.dumps(schema, allow_nan=False, ensure_ascii=False)
        written = text.encode()
        if len(written) > MAX_SCHEMA_BYTES:
            problem = f"the schema of its arguments has {len(written)} bytes; at most {MAX_SCHEMA_BYTES} are read"
        elif "\\u0000" in text and re.search(r"(?<!\\)(?:\\\\)*\\u0000", text):
            problem = "a text in the schemas holds NUL"
    except UnicodeEncodeError:
        problem = "a text in the schemas holds half a surrogate pair"
    except ValueError:
        problem = "a number in the schemas is infinite"
    if problem:
        raise DocumentError(problem, field=pointer, remedy=UNSUPPORTED)
    return written


def _check_callable(schema: Schema, pointer: str) -> None:
    """Raises `DocumentError` for schemas that the caller service refuses."""
    try:
        check_schema(schema)
    except ToolSchemaError as error:
        message = f"no call can be written: {error.reason} ({error.pointer or 'its arguments'})"
        raise DocumentError(message, field=pointer, remedy=error.remedy) from error


def _description(ref: _OperationRef) -> str:
    texts = [ref.node.get(key) or ref.path_item.get(key) for key in ("summary", "description")]
    words = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    joined = "\n".join(dict.fromkeys(words)) or f"{ref.method.upper()} {ref.path}"
    return storable(joined)[:MAX_DESCRIPTION_CHARACTERS]


def _fitting(root: Mapping[str, Any], ref: _OperationRef, nodes: Mapping[str, Any]) -> dict[str, Any]:
    """The Parameter Objects without those of the path that do not stand in it, and with those that are not declared.

    What stands between braces can only be a parameter, and is text in an address. Raises `DocumentError`.
    """
    missing = dict.fromkeys(_PLACEHOLDER.findall(ref.path))
    fitting = {}
    for pointer, node in nodes.items():
        parameter, _ = resolve(root, node, pointer)
        if isinstance(parameter, Mapping) and parameter.get("in") == "path":
            if f"{{{parameter.get('name')}}}" not in ref.path:
                continue
            missing.pop(parameter.get("name"), None)
        fitting[pointer] = node
    undeclared = ({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in missing)
    return fitting | {f"{ref.pointer}/{{{node['name']}}}": node for node in undeclared}


def _encoded_path(ref: _OperationRef) -> str:
    """The path with its parameters in braces, its query, and the rest encoded. Raises `DocumentError`."""
    # Publishers tell operations of one address apart by a fragment, which is never sent, or by a query, which is.
    path, mark, query = ref.path.partition("#")[0].partition("?")
    if has_dot_segment(_PLACEHOLDER.sub("x", path)) or _NOT_IN_PATH.search(path) or _NOT_IN_QUERY.search(query):
        raise DocumentError(
            "the path has dot segments, parameters in a query, or characters that no address has",
            field=ref.pointer,
            remedy="correct the path",
        )
    parts = _PLACEHOLDER.split(path)
    # Every second part is the name of a parameter.
    encoded = (f"{{{part}}}" if index % 2 else quote(part, safe=_SAFE_IN_PATH) for index, part in enumerate(parts))
    return "".join(encoded) + mark + quote(query, safe=f"?{_SAFE_IN_PATH}")
