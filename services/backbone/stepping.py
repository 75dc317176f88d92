"""The single-model service: `python -m services.backbone`. One model plans, calls and answers.

It writes free text: a rationale, then `Action:` or `conclusion:` at the beginning of a line. From its `Action:` on, a
call is constrained to the grammar of the offered tools. If neither marker came, a short generation continues the same
text and is constrained to the two. A call that is invalid or unfinished is repaired once, as the caller's is; if it
stays so, the answer carries the reason, which the model reads as an observation. With `constrained: false` nothing is
constrained, as in the paper: a text with neither marker is generated once more with a higher temperature, then it is an
error, and the client applies its policy. With `attempts: 1` nothing is repaired or generated once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from alpha_umi.contract.roles import STEP, ActionModel, RenderStepRequest, StepAnswer, StepRequest, as_history, as_tools
from alpha_umi.roles.backbone import ANSWER, CALL, BackboneStep, call_start, is_opened, parse_step
from alpha_umi.roles.caller import Call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.calls.offer import Rejected, call_constraint, finished_call, prompt_tools
from alpha_umi.serving.engine import Choices, Grammar
from alpha_umi.serving.generation import GenerationSession, token_bound
from alpha_umi.serving.responses import role_router

CHOICE_TOKENS = 8
_NEXT_CALL = f"\n{CALL}"


def create_router(context: RoleContext) -> APIRouter:
    """Routes of one single-model agent."""
    return role_router(
        context,
        STEP,
        step,
        summary="Think, then call a tool or answer",
        render_model=RenderStepRequest,
        reserved_tokens=reserved_tokens,
    )


@dataclass
class _Step:
    """One request in progress, and its text so far."""

    session: GenerationSession
    request: StepRequest
    tools: Sequence[Tool]
    grammar: Grammar | None
    text: str = ""

    async def write(self, **changes: Any) -> AsyncIterator[str]:
        """Continue the text, piece by piece."""
        generation = self.session.generation(continuation=self.text, **changes)
        async for piece in self.session.stream(generation):
            self.text += piece
            yield piece

    async def write_all(self, **changes: Any) -> str:
        """Continue the text to its end; the new part."""
        return "".join([piece async for piece in self.write(**changes)])


async def step(
    context: RoleContext, request: StepRequest, *, request_id: str
) -> AsyncGenerator[str | StepAnswer, None]:
    """Yield the text in pieces, then the answer. Raises `ServiceError`, `output-unreadable` among others."""
    work = await _prepare(context, request, request_id)
    async for piece in _write(work):
        yield piece
    if request.attempts > 1 and call_start(work.text) is None and _conclusion_of(work.text) is None:
        await _retry(work)
    yield await _answer(work)


def reserved_tokens(answer_tokens: int) -> int:
    """Tokens that the prompt leaves free: rationale and call have a bound each."""
    return 2 * answer_tokens + CHOICE_TOKENS


async def _prepare(context: RoleContext, request: StepRequest, request_id: str) -> _Step:
    # In threads, because large schemas take a while and other requests must not wait for them.
    tools = await asyncio.to_thread(prompt_tools, as_tools(request.tools))
    bound = token_bound(context, request)
    grammar = await call_constraint(context, tools, constrained=request.constrained)
    history = as_history(request.history)
    session = await GenerationSession.open(
        context, request, request_id, history=history, tools=tools, answer_tokens=reserved_tokens(bound)
    )
    return _Step(session, request, tools, grammar)


async def _write(work: _Step) -> AsyncIterator[str]:
    if work.request.conclude:
        work.text = ANSWER
        yield ANSWER
    stop = () if work.request.conclude or work.grammar is None else (_NEXT_CALL,)
    async for piece in work.write(stop=stop):
        yield piece
    if work.grammar is None or work.request.conclude:
        return
    if not is_opened(work.text):
        async for piece in _choose(work):
            yield piece
    if work.text.endswith(_NEXT_CALL):
        work.text = work.text.removesuffix(CALL)
        streamed = len(CALL)
        async for piece in work.write(constraint=work.grammar):
            # The grammar begins with the marker, which was streamed before.
            if unseen := piece[streamed:]:
                yield unseen
            streamed = max(0, streamed - len(piece))


async def _choose(work: _Step) -> AsyncIterator[str]:
    """There is neither a call nor a conclusion: continue with the beginning of one."""
    work.session.count_extra("constrained")
    work.text = work.text.rstrip()
    yield await work.write_all(constraint=Choices((_NEXT_CALL, f"\n{ANSWER}")), max_tokens=CHOICE_TOKENS)
    if work.text.endswith(ANSWER):
        async for piece in work.write():
            yield piece


async def _retry(work: _Step) -> None:
    """A second attempt without constraints: of the answer if that was empty, else of the complete text."""
    work.session.count_extra("retry")
    try:
        work.text = parse_step(work.text).lead + ANSWER
    except UnreadableOutput:
        work.text = ""
    await work.write_all(**work.session.retry_sampling())


def _conclusion_of(text: str) -> BackboneStep | None:
    try:
        return _concluded(text)
    except UnreadableOutput:
        return None


def _concluded(text: str) -> BackboneStep:
    """A step without a call. Raises `UnreadableOutput` for none, and for one with an empty answer."""
    parsed = parse_step(text)
    if parsed.answer is not None and not parsed.answer.strip():
        raise UnreadableOutput("nothing follows 'conclusion:'", text)
    return parsed


async def _answer(work: _Step) -> StepAnswer:
    attempts = work.session.stats.attempts
    way = "free" if attempts == 1 else "constrained" if work.request.constrained else "retry"
    call_at = call_start(work.text)
    if call_at is None:
        answer = _conclusion(work)
    else:
        answer = await _call_answer(work, work.text[:call_at].strip(), work.text[call_at:])
    work.session.context.metrics.count_decision(answer.next, way)
    return answer


def _conclusion(work: _Step) -> StepAnswer:
    try:
        parsed = _concluded(work.text)
    except UnreadableOutput as error:
        raise work.session.unreadable(error, work.text) from error
    answer = None if parsed.answer is None else parsed.answer.strip()
    return StepAnswer(
        thought=parsed.thought, next=parsed.next, text=answer or "", answer=answer, **work.session.answer_fields()
    )


async def _call_answer(work: _Step, thought: str, text: str) -> StepAnswer:
    outcome, repaired = finished_call(work.session, text, work.tools), False
    if isinstance(outcome, Rejected) and work.request.attempts > 1:
        outcome, repaired = await _repaired(work, thought, outcome), True
    fields = work.session.answer_fields() | {"thought": thought, "next": "caller", "text": outcome.text}
    fields |= {"call_unfinished": work.session.call_unfinished}
    if isinstance(outcome, Rejected):
        return StepAnswer(reason=outcome.reason, repaired=repaired, **fields)
    action = ActionModel(name=outcome.name, arguments=dict(outcome.arguments))
    return StepAnswer(action=action, repaired=repaired, **fields)


async def _repaired(work: _Step, thought: str, rejected: Rejected) -> Call | Rejected:
    """Generate the call again after the same rationale, with the rejected call and its error in the history."""
    session = work.session
    history = (*as_history(work.request.history), Turn("planner", thought), *rejected.turns)
    reserved = reserved_tokens(token_bound(session.context, work.request))
    await session.begin_repair(history, work.tools, answer_tokens=reserved)
    work.text = f"{thought}\n" if thought else ""
    changes: dict[str, Any] = {"max_tokens": session.more_tokens(work.text + CALL)} if rejected.unfinished else {}
    if work.grammar is not None:
        return finished_call(session, await work.write_all(constraint=work.grammar, **changes), work.tools)
    work.text += CALL
    return finished_call(session, CALL + await work.write_all(**session.retry_sampling(), **changes), work.tools)
