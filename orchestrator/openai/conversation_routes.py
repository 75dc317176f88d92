"""Routes of `/v1/conversations`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from alpha_umi.contract.openai.conversations import (
    AddItems,
    Conversation,
    ConversationDeleted,
    CreateConversation,
    UpdateConversation,
)
from alpha_umi.contract.openai.responses import InputItemPage, ItemsQuery
from alpha_umi.web.scopes import User
from orchestrator.api.answers import json_response
from orchestrator.api.bodies import BoundedBodyRoute
from orchestrator.assembly import Orchestrator

_PATH = "/v1/conversations"


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["conversations"], route_class=BoundedBodyRoute)
    conversations, count_request = orchestrator.conversations, orchestrator.admission.count_request

    @router.post(_PATH, response_model=Conversation, summary="Create a conversation")
    async def create(body: CreateConversation, user: User) -> Conversation:
        count_request(user.owner)
        return await conversations.create(body.items, body.metadata, owner=user.owner)

    @router.get(_PATH + "/{conversation_id}", response_model=Conversation, summary="One conversation")
    async def read(conversation_id: str, user: User) -> Conversation:
        return await conversations.read(conversation_id, owner=user.owner)

    @router.post(_PATH + "/{conversation_id}", response_model=Conversation, summary="Replace the metadata")
    async def update(conversation_id: str, body: UpdateConversation, user: User) -> Conversation:
        count_request(user.owner)
        return await conversations.update(conversation_id, body.metadata, owner=user.owner)

    @router.delete(
        _PATH + "/{conversation_id}", response_model=ConversationDeleted, summary="Delete it; its responses stay"
    )
    async def delete(conversation_id: str, user: User) -> ConversationDeleted:
        await conversations.delete(conversation_id, owner=user.owner)
        return ConversationDeleted(id=conversation_id)

    @router.get(_PATH + "/{conversation_id}/items", response_model=InputItemPage, summary="Items, page by page")
    async def items(conversation_id: str, user: User, query: Annotated[ItemsQuery, Query()]) -> Response:
        page = await conversations.items(conversation_id, query, owner=user.owner)
        return json_response(page.model_dump_json())

    @router.post(_PATH + "/{conversation_id}/items", response_model=InputItemPage, summary="Add items")
    async def add(conversation_id: str, body: AddItems, user: User) -> InputItemPage:
        count_request(user.owner)
        return await conversations.add(conversation_id, body.items, owner=user.owner)

    @router.get(_PATH + "/{conversation_id}/items/{item_id}", summary="One item")
    async def item(conversation_id: str, item_id: str, user: User) -> dict[str, Any]:
        return await conversations.item(conversation_id, item_id, owner=user.owner)

    @router.delete(
        _PATH + "/{conversation_id}/items/{item_id}", response_model=Conversation, summary="Delete an added item"
    )
    async def delete_item(conversation_id: str, item_id: str, user: User) -> Conversation:
        return await conversations.delete_item(conversation_id, item_id, owner=user.owner)

    return router
