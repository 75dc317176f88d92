"""The kinds of tool sources: one line each."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any, Final

from pydantic import PlainValidator, ValidationError

from orchestrator.tools.egress import Egress
from orchestrator.tools.openapi.provider import OpenApiSource, load_openapi
from orchestrator.tools.source import SourceKind, ToolProvider, ToolSource

DEFAULT_KIND: Final = "openapi"
KINDS: Final[dict[str, SourceKind[Any]]] = {
    "openapi": SourceKind(OpenApiSource, load_openapi),
}


def parse_source(value: Any, *, stored: bool = False) -> ToolSource:
    """The settings of a source of any kind; without `kind` it is `openapi`. `stored`: the value is a `record`.

    Raises pydantic's `ValidationError`.
    """
    kind = value.get("kind", DEFAULT_KIND) if isinstance(value, dict) else DEFAULT_KIND
    if kind not in list(KINDS):
        expected = " or ".join(repr(name) for name in KINDS)
        raise ValidationError.from_exception_data(
            "ToolSource", [{"type": "literal_error", "loc": ("kind",), "input": kind, "ctx": {"expected": expected}}]
        )
    source: ToolSource = KINDS[kind].model.model_validate(value, context={"stored": stored})
    return source


# A source of any kind as a field or a request body; the OpenAPI document shows the models of all kinds.
AnySource = Annotated[
    ToolSource,
    PlainValidator(
        parse_source, json_schema_input_type=functools.reduce(operator.or_, (kind.model for kind in KINDS.values()))
    ),
]


async def load_source(source: ToolSource, egress: Egress) -> ToolProvider:
    """Load the source's tools. Raises `ToolSourceError` (see `errors`)."""
    return await KINDS[source.kind].load(source, egress)
