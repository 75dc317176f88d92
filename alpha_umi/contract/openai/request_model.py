"""The base of what OpenAI's clients send."""

from __future__ import annotations

from collections.abc import Mapping
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
    return value.get("type") if isinstance(value, dict) else getattr(value, "type", None)


def by_type(tags: Mapping[str, str]) -> Discriminator:
    """Chooses a model by `type`. The tags are in parentheses, so that no error names them as a field."""

    def tag(value: Any) -> str | None:
        kind = type_of(value)
        return tags.get(kind) if isinstance(kind, str) else None

    return Discriminator(
        tag, custom_error_type="unsupported_type", custom_error_message=f"the type must be one of {', '.join(tags)}"
    )
