"""`POST /v1/chat/completions`: a chat completion is a turn of a trajectory, or the part of one up to a client's call.

The conversation is the request's. If it continues one that a trajectory holds, the trajectory goes on as for a response
with a previous one; else a new trajectory begins with the conversation as its history.
"""

from __future__ import annotations

import json
from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import Response

from alpha_umi.contract.openai.chat import AssistantMessage, ChatCompletion, CreateChatCompletion
from alpha_umi.contract.problems import ServiceError
from alpha_umi.trajectory import Phase, State
from alpha_umi.web.scopes import User
from orchestrator.api.answers import IdempotencyKey, carry_out, request_key
from orchestrator.api.bodies import BoundedBodyRoute
from orchestrator.assembly import Orchestrator
from orchestrator.openai.begin import ResponseRequests, TurnRequest, computed
from orchestrator.openai.chat_history import ChatHistory, call_identity, is_large, read_history, shown_text
from orchestrator.openai.chat_options import chat_options, chat_tools
from orchestrator.openai.chat_view import CHAT_STREAM, ChatView, answer_text
from orchestrator.openai.models import ModelNames
from orchestrator.openai.previous import PreviousResponse, previous_response
from orchestrator.runs.idempotency import AcceptedRequest
from orchestrator.store import RequestKey, StoreDamaged, TurnRecord, TurnRow

INTERFACE = "chat"


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["chat completions"], route_class=BoundedBodyRoute)
    requests = ChatRequests(orchestrator, ModelNames(orchestrator))

    @router.post(
        "/v1/chat/completions",
        response_model=ChatCompletion,
        summary="Answer a conversation",
        responses=CHAT_STREAM,
    )
    async def complete(body: CreateChatCompletion, user: User, request: Request, key: IdempotencyKey) -> Response:
        identity = request_key(request, key, body)
        include_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        view = ChatView(orchestrator, user.owner, include_usage=include_usage, stored=body.store is not False)

        async def accept() -> AcceptedRequest:
            return await requests.begin(body, owner=user.owner, key=identity)

        return await carry_out(
            orchestrator, request, identity, accept, stream=bool(body.stream), background=False, view=view
        )

    return router


class ChatRequests:
    """Accepts the requests of all owners."""

    def __init__(self, orchestrator: Orchestrator, models: ModelNames) -> None:
        self._orchestrator = orchestrator
        self._models = models
        self._turns = ResponseRequests(orchestrator, models)

    async def begin(self, body: CreateChatCompletion, *, owner: str, key: RequestKey | None = None) -> AcceptedRequest:
        """Accept a request: what it leads to is committed when this returns. `key` is its idempotency key.

        Raises `ServiceError` and `StoreError`.
        """
        strategy = self._models.resolve(body.model)
        history = await computed(is_large(body.messages), partial(read_history, body))
        tools = await chat_tools(self._orchestrator, body, owner=owner)
        options = await chat_options(body, history.instructions, tools, strategy)
        previous = await self._previous(history, owner)
        request = TurnRequest(
            owner,
            key,
            strategy,
            tools,
            options,
            self._orchestrator.settings.limits(strategy),
            history.everything if previous is None else history.added,
            _record(body, owner, history),
            body.metadata or {},
            may_repeat=True,
        )
        return await self._turns.accept(request, previous)

    async def _previous(self, history: ChatHistory, owner: str) -> PreviousResponse | None:
        """The turn with which a trajectory holds the conversation up to its newest answer; the newest, if several do.

        One that nothing has continued yet is preferred.
        """
        answer, continued = history.answer, None
        if answer is None:
            return None
        for turn in await self._candidates(history, owner):
            try:
                previous = await previous_response(self._orchestrator.store, self._orchestrator.tool_sets, turn)
            except (ServiceError, StoreDamaged):
                # It runs, or it was deleted.
                continue
            if _answers(previous.state, answer):
                continued = continued or previous
                if previous.is_newest:
                    return previous
        return continued

    async def _candidates(self, history: ChatHistory, owner: str) -> list[TurnRow]:
        """Turns whose conversation is the same up to the newest answer. That of an open call is found by its id."""
        store, call = self._orchestrator.store, history.only_call
        run = None if call is None else self._orchestrator.runs.waiting_for(call.id, owner=owner)
        if run is not None:
            turns = await store.turns(run.id, owner=owner)
            return [turn for turn in turns[-1:] if turn.digest == history.prefix]
        return await store.turns_with(history.prefix, owner=owner)


def _record(body: CreateChatCompletion, owner: str, history: ChatHistory) -> TurnRecord:
    stored = body.store is not False
    document = {
        "model": body.model,
        "instructions": None,
        "metadata": body.metadata,
        "service_tier": body.service_tier,
        "store": stored,
        "response_format": "text" if body.response_format is None else body.response_format.type,
    }
    # What is not stored is not continued.
    return TurnRecord(owner, INTERFACE, document, history.digest if stored else None)


def _answers(state: State, message: AssistantMessage) -> bool:
    """Whether a turn was answered with this message."""
    calls = message.tool_calls or []
    if state.phase is not Phase.WAITING:
        return not calls and shown_text(message).strip() == answer_text(state).strip()
    action = state.steps[-1].action
    if action is None or len(calls) != 1 or calls[0].id != action.call_id:
        return False
    return call_identity(calls[0].function) == (action.name, json.dumps(action.arguments, sort_keys=True))
