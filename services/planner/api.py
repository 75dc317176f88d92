"""The planner's routes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from alpha_umi.contract.roles import PlanAnswer, PlanRequest, RenderAnswer, RenderPlanRequest, as_history, as_tools
from alpha_umi.serving.answering import ANSWER_STREAM, answer
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.writing import fit_prompt
from services.planner.decision import plan, room


def create_router(context: RoleContext) -> APIRouter:
    """Routes of one planner."""
    router = APIRouter(tags=["planner"])

    @router.post("/v1/plan", response_model=PlanAnswer, summary="Decide what to do next", responses=ANSWER_STREAM)
    async def post_plan(body: PlanRequest, request: Request) -> Response:
        work = plan(context, body, request_id=request.state.request_id)
        return await answer(request, context, work, stream=body.stream)

    @router.post("/v1/plan/render", summary="The prompt of the same request; nothing is generated")
    async def render_plan(body: RenderPlanRequest) -> RenderAnswer:
        fitted = await fit_prompt(
            context.host,
            history=as_history(body.history),
            tools=as_tools(body.tools),
            answer_tokens=room(body.max_tokens or context.answer_tokens),
            template=body.template,
        )
        return fitted.as_answer()

    return router
