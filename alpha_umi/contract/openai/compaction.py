"""Wire models of `POST /v1/responses/compact` (Open Responses 2026-04-24)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from alpha_umi.contract.openai.input_items import InputItem, Text
from alpha_umi.contract.openai.request_model import RequestModel
from alpha_umi.contract.roles import MAX_TURNS


def _input_tag(value: Any) -> str:
    return "(text)" if isinstance(value, str) else "(items)"


class CompactConversation(RequestModel):
    """What is compacted: `input`, after the conversation that ends with `previous_response_id`.

    No model writes the compaction, so that `instructions` for it change nothing.
    """

    model: Annotated[str, Field(max_length=256)] | None = None
    input: (
        Annotated[
            Annotated[Text, Tag("(text)")]
            | Annotated[list[InputItem], Field(max_length=MAX_TURNS, fail_fast=True), Tag("(items)")],
            Discriminator(_input_tag),
        ]
        | None
    ) = None
    previous_response_id: Annotated[str, Field(max_length=128)] | None = None
    instructions: Text | None = None
    prompt_cache_key: Annotated[str, Field(max_length=64)] | None = None


class CompactedConversation(BaseModel):
    """The user's messages as they were, and an item with the rest: the input of a further request."""

    id: str
    object: Literal["response.compaction"] = "response.compaction"
    created_at: int
    output: list[dict[str, Any]]
    usage: dict[str, Any]
