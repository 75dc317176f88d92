"""Wire models of `POST /v1/responses/compact` (Open Responses 2026-04-24)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from alpha_umi.contract.openai.input_items import Input, Text
from alpha_umi.contract.openai.request_model import RequestModel


class CompactConversation(RequestModel):
    """What is compacted: `input`, after the conversation that ends with `previous_response_id`.

    No model writes the compaction, so that `instructions` for it change nothing.
    """

    model: Annotated[str, Field(max_length=256)] | None = None
    input: Input | None = None
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
