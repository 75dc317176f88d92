"""The summarizer service: `python -m services.summarizer`. Its answer is free text, streamed, with a token bound."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fastapi import APIRouter

from alpha_umi.contract.roles import SUMMARIZE, RenderSummarizeRequest, SummarizeAnswer, SummarizeRequest, as_history
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.summarizer import parse_answer
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.generation import GenerationSession
from alpha_umi.serving.responses import role_router


def create_router(context: RoleContext) -> APIRouter:
    """Routes of one summarizer."""
    return role_router(
        context,
        SUMMARIZE,
        summarize,
        summary="Write the answer for the user",
        render_model=RenderSummarizeRequest,
    )


async def summarize(
    context: RoleContext, request: SummarizeRequest, *, request_id: str
) -> AsyncGenerator[str | SummarizeAnswer, None]:
    """Yield the answer in pieces, then the complete answer.

    An empty one is generated once more, unless `attempts` is 1. After that it is the error `output-unreadable`.
    """
    session = await GenerationSession.open(context, request, request_id, history=as_history(request.history))
    text = ""
    for changes in ({}, session.retry_sampling())[: request.attempts]:
        if changes:
            session.count_extra("retry")
        async for piece in session.stream(session.generation(**changes)):
            text += piece
            yield piece
        if text.strip():
            break
    yield SummarizeAnswer(answer=_read(session, text), **session.answer_fields())


def _read(session: GenerationSession, text: str) -> str:
    try:
        return parse_answer(text)
    except UnreadableOutput as error:
        raise session.unreadable(error, text) from error
