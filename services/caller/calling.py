"""The caller service: `python -m services.caller`.

The text is constrained to a grammar of the offered tools. Every call is validated afterwards too, because the grammar
knows a reduced form of the schemas. An invalid call is repaired once, with the error in the prompt and tighter bounds
in the grammar; after that it is an error. With `constrained: false` there is no grammar, as in the paper; validation
stays, and so does the repair unless `attempts` is 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

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
from alpha_umi.roles.turns import Turn
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.calls.offer import Rejected, call_grammars, prompt_tools, read_call, rejection_turns
from alpha_umi.serving.generation import GenerationSession, fit_prompt, token_bound
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
    """One call. Raises `ServiceError`: `tool-schema-invalid`, or `call-invalid` after the repair."""
    # In threads, because large schemas take a while and other requests must not wait for them.
    tools = await asyncio.to_thread(prompt_tools, as_tools(request.tools))
    answer_tokens = token_bound(context, request)
    history = call_history(request)
    # Grammars first: an unusable schema is refused before the model generates.
    grammars = await asyncio.to_thread(call_grammars, tools, answer_tokens) if request.constrained else (None, None)
    session = await GenerationSession.open(context, request, request_id, history=history, tools=tools)
    outcome = read_call(await session.text(session.generation(constraint=grammars[0])), tools)
    if isinstance(outcome, Rejected) and request.attempts > 1:
        session.count_extra("repair")
        session.fitted = await fit_prompt(
            context.host, history=_with_rejection(history, outcome), tools=tools, answer_tokens=answer_tokens
        )
        changes = {"constraint": grammars[1]} if request.constrained else session.retry_sampling()
        outcome = read_call(await session.text(session.generation(**changes)), tools)
    yield _answer(session, outcome)


def _with_rejection(history: Sequence[Turn], rejected: Rejected) -> list[Turn]:
    """The history with the rejected call and its error before the current rationale."""
    return [*history[:-1], *rejection_turns(rejected), history[-1]]


def _answer(session: GenerationSession, outcome: Call | Rejected) -> CallAnswer:
    if isinstance(outcome, Rejected):
        raise ServiceError("call-invalid", outcome.reason, extra=session.as_extra(outcome.text))
    return CallAnswer(
        action=ActionModel(name=outcome.name, arguments=dict(outcome.arguments)),
        text=outcome.text,
        repaired=session.stats.attempts > 1,
        **session.answer_fields(),
    )
