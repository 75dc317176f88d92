"""The summarizer's routes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from alpha_umi.contract.roles import (
    RenderAnswer,
    RenderSummarizeRequest,
    SummarizeAnswer,
    SummarizeRequest,
    as_history,
)
from alpha_umi.serving.answering import ANSWER_STREAM, answer
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.writing import fit_prompt
from services.summarizer.answer import summarize


def create_router(context: RoleContext) -> APIRouter:
    """Routes of one summarizer."""
    router = APIRouter(tags=["summarizer"])

    @router.post(
        "/v1/summarize",
        response_model=SummarizeAnswer,
        summary="Write the answer for the user",
        responses=ANSWER_STREAM,
    )
    async def post_summarize(body: SummarizeRequest, request: Request) -> Response:
        work = summarize(context, body, request_id=request.state.request_id)
        return await answer(request, context, work, stream=body.stream)

    @router.post("/v1/summarize/render", summary="The prompt of the same request; nothing is generated")
    async def render_summarize(body: RenderSummarizeRequest) -> RenderAnswer:
        fitted = await fit_prompt(
            context.host,
            history=as_history(body.history),
            answer_tokens=body.max_tokens or context.answer_tokens,
            template=body.template,
        )
        return fitted.as_answer()

    return router
