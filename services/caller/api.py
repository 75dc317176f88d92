"""The caller's routes."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from alpha_umi.contract.roles import CallAnswer, CallRequest, RenderAnswer, RenderCallRequest, as_tools, call_history
from alpha_umi.serving.answering import answer
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.writing import fit_prompt
from services.caller.calling import call


def create_router(context: RoleContext) -> APIRouter:
    """Routes of one caller."""
    router = APIRouter(tags=["caller"])

    @router.post("/v1/call", response_model=CallAnswer, summary="Turn a rationale into one call")
    async def post_call(body: CallRequest, request: Request) -> Response:
        work = call(context, body, request_id=request.state.request_id)
        return await answer(request, context, work, stream=False)

    @router.post("/v1/call/render", summary="The prompt of the same request; nothing is generated")
    async def render_call(body: RenderCallRequest) -> RenderAnswer:
        fitted = await fit_prompt(
            context.host,
            history=call_history(body),
            tools=as_tools(body.tools),
            answer_tokens=body.max_tokens or context.answer_tokens,
            template=body.template,
        )
        return fitted.as_answer()

    return router
