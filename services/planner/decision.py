"""The planner service: `python -m services.planner`.

The rationale is free text with a token bound, which a prompt of the kind chat begins. It ends at the first decision. If
there is none that the request allows, a second, short generation continues the same text and is constrained to those
(its prompt is cached by then). With `constrained: false` nothing is constrained, as in the paper: an unreadable output
is generated once more with a higher temperature (unless `attempts` is 1). After that it is an error, and the client
applies its policy.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from fastapi import APIRouter

from alpha_umi.contract.roles import PLAN, PlanAnswer, PlanRequest, RenderPlanRequest, as_history, as_tools
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import STOP_STRINGS, Plan, parse_plan
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.engine import Choices
from alpha_umi.serving.generation import GenerationSession, token_bound
from alpha_umi.serving.responses import role_router

DECISION_TOKENS = 8
_CUE = "Next:"


def create_router(context: RoleContext) -> APIRouter:
    """Routes of one planner."""
    return role_router(
        context,
        PLAN,
        plan,
        summary="Decide what to do next",
        render_model=RenderPlanRequest,
        reserved_tokens=reserved_tokens,
    )


async def plan(
    context: RoleContext, request: PlanRequest, *, request_id: str
) -> AsyncGenerator[str | PlanAnswer, None]:
    """Yield the rationale in pieces, then the answer. Raises `ServiceError`, `output-unreadable` among others."""
    session = await GenerationSession.open(
        context,
        request,
        request_id,
        history=as_history(request.history),
        tools=as_tools(request.tools),
        answer_tokens=reserved_tokens(token_bound(context, request)),
    )
    text = ""
    async for written in session.stream(session.generation(stop=STOP_STRINGS)):
        piece = written if text else _begin(session, written)
        text += piece
        yield piece
    text = text or session.begun
    decided, way = _read(text, request), "free"
    if decided is None and request.constrained:
        decided, way = await _constrain(session, request, text), "constrained"
    elif decided is None and request.attempts > 1:
        decided, way = await _retry(session, request), "retry"
    elif decided is None:
        decided = _parsed(session, request, text)
    context.metrics.count_decision(decided.next, way)
    yield PlanAnswer(thought=decided.thought, next=decided.next, text=decided.text, **session.answer_fields())


def reserved_tokens(answer_tokens: int) -> int:
    """Tokens that the prompt leaves free: the rationale's bound, and the decision after it."""
    return answer_tokens + DECISION_TOKENS


def _begin(session: GenerationSession, written: str) -> str:
    """The prompt's begun text with what follows: a server that cannot continue one answers with a text of its own."""
    return session.begun + (" " if session.begun and written[:1].isalnum() else "") + written


def _read(text: str, request: PlanRequest) -> Plan | None:
    try:
        parsed = parse_plan(text, request.allowed)
    except UnreadableOutput:
        return None
    # The stop string ends before the period that closes a decision in the training data.
    return replace(parsed, ending=f"Next: {parsed.next}.")


async def _constrain(session: GenerationSession, request: PlanRequest, text: str) -> Plan:
    """Continue the rationale with a decision, and nothing else."""
    lead = text.rpartition(_CUE)[0] if _CUE in text else f"{text.rstrip()} "
    generation = session.generation(
        continuation=f"{lead}{_CUE}".removeprefix(session.begun),
        constraint=Choices(tuple(f" {decision}." for decision in request.allowed)),
        max_tokens=DECISION_TOKENS,
    )
    session.count_extra("constrained")
    ending = await session.text(generation)
    return _parsed(session, request, f"{lead}{_CUE}{ending}")


async def _retry(session: GenerationSession, request: PlanRequest) -> Plan:
    """A second attempt without constraints."""
    session.count_extra("retry")
    text = _begin(session, await session.text(session.generation(stop=STOP_STRINGS, **session.retry_sampling())))
    return _read(text, request) or _parsed(session, request, text)


def _parsed(session: GenerationSession, request: PlanRequest, text: str) -> Plan:
    """Raises `ServiceError` for a text without an allowed decision; an engine without constraints may write one."""
    try:
        return parse_plan(text, request.allowed)
    except UnreadableOutput as error:
        raise session.unreadable(error, text) from error
