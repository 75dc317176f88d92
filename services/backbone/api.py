"""The single model's routes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from alpha_umi.contract.roles import RenderAnswer, RenderStepRequest, StepAnswer, StepRequest, as_history, as_tools
from alpha_umi.serving.answering import ANSWER_STREAM, answer
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.writing import fit_prompt
from services.backbone.stepping import room, step


def create_router(context: RoleContext) -> APIRouter:
    """Routes of one single-model agent."""
    router = APIRouter(tags=["backbone"])

    @router.post(
        "/v1/step", response_model=StepAnswer, summary="Think, then call a tool or answer", responses=ANSWER_STREAM
    )
    async def post_step(body: StepRequest, request: Request) -> Response:
        work = step(context, body, request_id=request.state.request_id)
        return await answer(request, context, work, stream=body.stream)

    @router.post("/v1/step/render", summary="The prompt of the same request; nothing is generated")
    async def render_step(body: RenderStepRequest) -> RenderAnswer:
        fitted = await fit_prompt(
            context.host,
            history=as_history(body.history),
            tools=as_tools(body.tools),
            answer_tokens=room(body.max_tokens or context.answer_tokens),
            template=body.template,
        )
        return fitted.as_answer()

    return router
