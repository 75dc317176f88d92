"""The caller service: `python -m services.caller`.

The text is constrained to a grammar of the offered tools. Every call is validated afterwards too, because the grammar
allows more than the schemas. A call that is invalid, or that the token limit cut, is repaired once, with the reason in
the prompt, and with more room if it was cut; after that it is an error. With `constrained: false` there is no grammar,
as in the paper; validation stays, and so does the repair unless `attempts` is 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import (
    CALL,
    ActionModel,
    CallAnswer,
    CallRequest,
    RenderCallRequest,
    as_tools,
    call_history,
)
from alpha_umi.roles.caller import Call
from alpha_umi.roles.template import ChatTemplate
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.calls.offer import Rejected, call_constraint, finished_call, prompt_tools
from alpha_umi.serving.generation import GenerationSession
from alpha_umi.serving.responses import role_router


def create_router(context: RoleContext) -> APIRouter:
    """Routes of one caller."""
    return role_router(
        context,
        CALL,
        call,
        summary="Turn a rationale into one call",
        render_model=RenderCallRequest,
        history=call_history,
    )


async def call(
    context: RoleContext, request: CallRequest, *, request_id: str
) -> AsyncGenerator[str | CallAnswer, None]:
    """One call. Raises `ServiceError`: `tool-schema-invalid`; `call-invalid` or `call-unfinished` after the repair."""
    # In threads, because large schemas take a while and other requests must not wait for them.
    tools = await asyncio.to_thread(prompt_tools, as_tools(request.tools))
    history = call_history(request)
    as_json = isinstance(context.host.model.template, ChatTemplate)
    # The grammar first: an unusable schema is refused before the model generates.
    grammar = await call_constraint(context, tools, constrained=request.constrained, as_json=as_json)
    session = await GenerationSession.open(context, request, request_id, history=history, tools=tools)
    text = await session.text(session.generation(constraint=grammar))
    outcome = finished_call(session, text, tools, as_json=as_json)
    if isinstance(outcome, Rejected) and request.attempts > 1:
        # The rejected call and its error stand before the current rationale.
        await session.begin_repair([*history[:-1], *outcome.turns, history[-1]], tools)
        changes: dict[str, Any] = {"constraint": grammar} if request.constrained else session.retry_sampling()
        changes |= {"max_tokens": session.more_tokens()} if outcome.unfinished else {}
        text = await session.text(session.generation(**changes))
        outcome = finished_call(session, text, tools, as_json=as_json)
    yield _answer(session, outcome)


def _answer(session: GenerationSession, outcome: Call | Rejected) -> CallAnswer:
    if isinstance(outcome, Rejected):
        raise ServiceError(outcome.problem, outcome.reason, extra=session.as_extra(outcome.text))
    return CallAnswer(
        action=ActionModel(name=outcome.name, arguments=dict(outcome.arguments)),
        text=outcome.text,
        repaired=session.stats.attempts > 1,
        call_unfinished=session.call_unfinished,
        **session.answer_fields(),
    )
