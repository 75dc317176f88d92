"""The base of what OpenAI's clients send."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import Discriminator, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from alpha_umi.contract.roles import WireModel

_NULL = {"type": "null"}


class RequestModel(WireModel):
    """Unknown fields are refused. A field that is null counts as left out: clients send those that they do not use."""

    @model_validator(mode="before")
    @classmethod
    def _without_null(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema, in which each field that may be left out may be null, unknown ones among them."""
        schema = handler(core)
        fields = handler.resolve_ref_schema(schema)
        fields["additionalProperties"] = _NULL
        for name, field in fields.get("properties", {}).items():
            if name not in fields.get("required", ()) and _NULL not in field.get("anyOf", ()):
                fields["properties"][name] = {"anyOf": [field, _NULL]}
        return schema


def type_of(value: Any) -> Any:
    """The `type` of a document or of its model."""
    return _field_of(value, "type")


def by_type(*kinds: str, field: str = "type", like: Mapping[str, str] = MappingProxyType({})) -> Discriminator:
    """Chooses the model of a value by a field: that with the tag `(kind)`, so that no error names the tag as a field.

    `like` are further kinds, each with the one whose model it has.
    """
    tags = {kind: f"({kind})" for kind in kinds} | {kind: f"({other})" for kind, other in like.items()}

    def tag(value: Any) -> str | None:
        kind = _field_of(value, field)
        return tags.get(kind) if isinstance(kind, str) else None

    listed = ", ".join(f"`{kind}`" for kind in tags)
    return Discriminator(
        tag, custom_error_type="unsupported_type", custom_error_message=f"`{field}` must be one of {listed}"
    )


def text_or_parts(content: Any) -> str:
    """The tag of the content of a message: `(text)` or `(parts)`."""
    return "(text)" if isinstance(content, str) else "(parts)"


def _field_of(value: Any, field: str) -> Any:
    return value.get(field) if isinstance(value, dict) else getattr(value, field, None)
