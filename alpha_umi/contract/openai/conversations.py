"""Wire models of `/v1/conversations`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from alpha_umi.contract.openai.input_items import InputItem
from alpha_umi.contract.openai.request_model import RequestModel
from alpha_umi.contract.trajectories import MetadataName, MetadataText

# Of one request, as OpenAI's service has it.
MAX_NEW_ITEMS = 20

Metadata = Annotated[dict[MetadataName, MetadataText], Field(max_length=16)]


class CreateConversation(RequestModel):
    """`POST /v1/conversations`."""

    items: Annotated[list[InputItem], Field(max_length=MAX_NEW_ITEMS)] = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)


class UpdateConversation(RequestModel):
    """`POST /v1/conversations/{id}`: the metadata is replaced."""

    metadata: Metadata = Field(default_factory=dict)


class AddItems(RequestModel):
    """`POST /v1/conversations/{id}/items`."""

    items: Annotated[list[InputItem], Field(min_length=1, max_length=MAX_NEW_ITEMS)]


class Conversation(BaseModel):
    """A conversation. `created_at` is in seconds."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, Any]


class ConversationDeleted(BaseModel):
    """What is left of a conversation."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: bool = True
