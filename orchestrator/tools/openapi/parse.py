"""Parses OpenAPI 3.0 and 3.1 documents into operations, each with its tool.

First the document is checked for bounds and for references that lead out of it, then for its structure against the
published schemas of the specification. Those come from openapi-spec-validator; its full validation is not used, because
it applies the document's own patterns with a backtracking engine. An operation that cannot become a tool makes the
document unusable; `operations` selects some of them, and the others are then ignored. TRACE, webhooks and callbacks do
not become tools.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from openapi_spec_validator.schemas import openapi_v30_schema_validator, openapi_v31_schema_validator

from alpha_umi.contract.tool_schema import ToolSchemaError, check_schema
from orchestrator.tools.errors import DocumentError
from orchestrator.tools.model import EffectClass, Tool
from orchestrator.tools.openapi.document import (
    SMALLER,
    child,
    openapi_version,
    read_document,
    refuse_remote_references,
    resolve,
)
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.schema import SchemaReader, compile_schema
from orchestrator.tools.openapi.security import security_of
from orchestrator.tools.openapi.servers import choose_base_url, has_dot_segment
from orchestrator.tools.openapi.signature import UNSUPPORTED, ArgumentSchema

MAX_OPERATIONS: Final = 500
MAX_NAME_CHARACTERS: Final = 64
MAX_DESCRIPTION_CHARACTERS: Final = 1_024
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_SAFE_METHODS: Final = frozenset({"get", "head", "options"})
_BY_SAFETY = tuple(EffectClass)


def parse_document(
    raw: bytes,
    *,
    source_name: str,
    base_url: str | None,
    default_effect: EffectClass,
    document_url: str | None = None,
    operations: Collection[str] | None = None,
    trust_effects: bool = False,
) -> list[Operation]:
    """The operations of a document, in its order.

    `base_url` is the operator's address for the calls, `document_url` the document's own address. Methods that may
    change something have `default_effect`; an operation's `x-effect` may state a more careful class, and, if
    `trust_effects`, also a less careful one. `operations` selects by tool name. Raises `DocumentError`.
    """
    root = read_document(raw)
    version = openapi_version(root)
    refuse_remote_references(root)
    refs = list(_operations(root))
    if len(refs) > MAX_OPERATIONS:
        raise DocumentError(
            f"the document has {len(refs)} operations; at most {MAX_OPERATIONS} are read",
            field="#/paths",
            remedy=SMALLER,
        )
    _check_structure(root, version)
    parser = _Parser(
        root,
        version,
        source_name,
        choose_base_url(root, base_url=base_url, document_url=document_url),
        operator_chose_base=base_url is not None,
        default_effect=default_effect,
        trust_effects=trust_effects,
    )
    return [parser.operation(name, ref) for name, ref in _selected(_named(refs), operations).items()]


@dataclass(frozen=True)
class _OperationRef:
    """An Operation Object, and its place in the document."""

    path: str
    method: str
    node: Mapping[str, Any]
    pointer: str
    path_item: Mapping[str, Any]
    path_pointer: str


@dataclass(frozen=True)
class _Parser:
    """Parses the operations of one document."""

    root: Mapping[str, Any]
    version: Literal["3.0", "3.1"]
    source_name: str
    base_url: str
    operator_chose_base: bool
    default_effect: EffectClass
    trust_effects: bool

    def operation(self, name: str, ref: _OperationRef) -> Operation:
        if not self.operator_chose_base and ("servers" in ref.node or "servers" in ref.path_item):
            raise DocumentError(
                "servers of a single operation are not supported",
                field=ref.pointer,
                remedy="give `base_url`",
            )
        security = security_of(self.root, ref.node, ref.pointer)
        carriers = frozenset((scheme.kind, scheme.wire_name) for schemes in security for scheme in schemes)
        signature = self._signature(ref, carriers)
        schema = signature.schema
        validator = compile_schema(schema, ref.pointer)
        _refuse_uncallable(name, schema, ref.pointer)
        return Operation(
            tool=Tool(name, _description(ref), schema, self.source_name, self._effect(ref)),
            method=ref.method.upper(),
            base_url=self.base_url,
            path=ref.path,
            parameters=tuple(signature.parameters),
            body=signature.body,
            defaults=signature.defaults,
            security=security,
            answers=self._answers(ref),
            validator=validator,
        )

    def _signature(self, ref: _OperationRef, withheld: frozenset[tuple[str, str]]) -> ArgumentSchema:
        signature = ArgumentSchema(self.root, SchemaReader(self.root, self.version), withheld)
        signature.add_parameters(
            {
                child(child(pointer, "parameters"), index): parameter
                for node, pointer in ((ref.path_item, ref.path_pointer), (ref.node, ref.pointer))
                for index, parameter in enumerate(node.get("parameters", ()))
            }
        )
        _check_path(ref, signature)
        if "requestBody" in ref.node:
            signature.add_body(ref.node["requestBody"], child(ref.pointer, "requestBody"), method=ref.method)
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

    def _answers(self, ref: _OperationRef) -> tuple[str, ...]:
        media_types: list[str] = []
        for status, node in ref.node.get("responses", {}).items():
            response, _ = resolve(self.root, node, child(child(ref.pointer, "responses"), status))
            if status.startswith("2") and isinstance(response, Mapping):
                media_types += (name.partition(";")[0].strip().lower() for name in response.get("content", {}))
        return tuple(dict.fromkeys(media_types))


def _operations(root: Mapping[str, Any]) -> Iterator[_OperationRef]:
    paths = root.get("paths")
    if not isinstance(paths, Mapping) or not paths:
        raise DocumentError("the document has no paths", field="#/paths", remedy="describe at least one operation")
    for path, node in paths.items():
        item, pointer = resolve(root, node, child("#/paths", path))
        if path.startswith("/") and isinstance(item, Mapping):
            for method in _METHODS:
                if isinstance(operation := item.get(method), Mapping):
                    yield _OperationRef(path, method, operation, child(pointer, method), item, pointer)


def _check_structure(root: dict[str, Any], version: Literal["3.0", "3.1"]) -> None:
    validator = openapi_v30_schema_validator if version == "3.0" else openapi_v31_schema_validator
    for error in validator.iter_errors(root):
        pointer = "#"
        for part in error.path:
            pointer = child(pointer, part)
        raise DocumentError(
            f"the document does not follow OpenAPI {version}: {error.message.partition(chr(10))[0][:300]}",
            field=pointer,
            remedy="correct it",
        )


def _named(refs: list[_OperationRef]) -> dict[str, _OperationRef]:
    named: dict[str, _OperationRef] = {}
    for ref in refs:
        name = tool_name(ref.node.get("operationId"), ref.method, ref.path)
        if name in named:
            raise DocumentError(
                f"{named[name].pointer} has the same tool name, {name!r}",
                field=ref.pointer,
                remedy=f"give both an `operationId` that differs within {MAX_NAME_CHARACTERS} characters",
            )
        named[name] = ref
    if not named:
        raise DocumentError("the document has no operations", field="#/paths", remedy="describe at least one")
    return named


def _selected(named: dict[str, _OperationRef], operations: Collection[str] | None) -> dict[str, _OperationRef]:
    if operations is None:
        return named
    for name in operations:
        if name not in named:
            raise DocumentError(
                f"there is no operation {name!r}",
                field="operations",
                remedy=f"there are {', '.join(named)[:1_000]}",
            )
    return {name: ref for name, ref in named.items() if name in operations}


def tool_name(operation_id: Any, method: str, path: str) -> str:
    """A name of letters, digits, `_` and `-`, at most 64: the operation's own, else made of method and path."""
    for text in (operation_id, f"{method}{path}"):
        if isinstance(text, str) and (name := re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")):
            return name[:MAX_NAME_CHARACTERS]
    return method


def _refuse_uncallable(name: str, schema: Mapping[str, Any], pointer: str) -> None:
    """Raises `DocumentError` for schemas that the caller service refuses: too deep, too large, contradictory."""
    try:
        check_schema(schema)
    except ToolSchemaError as error:
        raise DocumentError(
            f"no call of {name!r} can be written: {error.reason} ({error.pointer or 'its arguments'})",
            field=pointer,
            remedy=f"{error.remedy}, or select other operations with `operations`",
        ) from error


def _description(ref: _OperationRef) -> str:
    texts = [ref.node.get(key) or ref.path_item.get(key) for key in ("summary", "description")]
    words = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    joined = "\n".join(dict.fromkeys(words)) or f"{ref.method.upper()} {ref.path}"
    return joined[:MAX_DESCRIPTION_CHARACTERS]


def _check_path(ref: _OperationRef, signature: ArgumentSchema) -> None:
    """Raises `DocumentError` unless placeholders and path parameters match, and the fixed part needs no encoding."""
    placeholders = set(re.findall(r"\{([^{}]*)\}", ref.path))
    declared = {parameter.wire_name for parameter in signature.parameters if parameter.location == "path"}
    for name in sorted(placeholders ^ declared):
        side = "is not declared" if name in placeholders else "does not stand in the path"
        raise DocumentError(f"the path parameter {name!r} {side}", field=ref.pointer, remedy="correct the path")
    fixed = re.sub(r"\{[^{}]*\}", "x", ref.path)
    if has_dot_segment(fixed) or not re.fullmatch(r"[\w\-.~!$&'()*+,;=:@/%]*", fixed, re.ASCII):
        raise DocumentError(
            "the path has characters that need encoding, or dot segments",
            field=ref.pointer,
            remedy=UNSUPPORTED,
        )
