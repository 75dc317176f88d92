"""The single-model service: `python -m services.backbone`. One model plans, calls and answers.

It writes free text: a rationale, then `Action:` or `conclusion:` at the beginning of a line. From its `Action:` on, a
call is constrained to the grammar of the offered tools. If no marker came that the request allows, a short generation
continues the same text and is constrained to those. A call that is invalid or unfinished is repaired once, as the
caller's is; if it stays so, the answer carries the reason, which the model reads as an observation. With `constrained:
false` nothing is constrained, as in the paper: a text with neither marker is generated once more with a higher
temperature, then it is an error, and the client applies its policy. With `attempts: 1` nothing is repaired or generated
once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from alpha_umi.contract.roles import STEP, ActionModel, RenderStepRequest, StepAnswer, StepRequest, as_history, as_tools
from alpha_umi.roles.backbone import ANSWER, CALL, GIVE_UP, BackboneStep, answer_start, call_start, parse_step
from alpha_umi.roles.caller import Call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Decision, require_allowed
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.calls.offer import Rejected, call_constraint, finished_call, prompt_tools
from alpha_umi.serving.engine import Choices, Grammar
from alpha_umi.serving.generation import GenerationSession, token_bound
from alpha_umi.serving.responses import role_router

CHOICE_TOKENS = 8
_NEXT_CALL, _NEXT_ANSWER = f"\n{CALL}", f"\n{ANSWER}"


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
    if request.attempts > 1 and _fault(work) is not None:
        await _retry(work)
    yield await _answer(work)


def reserved_tokens(answer_tokens: int) -> int:
    """Tokens that the prompt leaves free: rationale and call have a bound each."""
    return 2 * answer_tokens + CHOICE_TOKENS


async def _prepare(context: RoleContext, request: StepRequest, request_id: str) -> _Step:
    # In threads, because large schemas take a while and other requests must not wait for them.
    tools = await asyncio.to_thread(prompt_tools, as_tools(request.tools))
    bound = token_bound(context, request)
    constrained = request.constrained and "caller" in request.allowed
    grammar = await call_constraint(context, tools, constrained=constrained)
    history = as_history(request.history)
    session = await GenerationSession.open(
        context, request, request_id, history=history, tools=tools, answer_tokens=reserved_tokens(bound)
    )
    return _Step(session, request, tools, grammar)


async def _write(work: _Step) -> AsyncIterator[str]:
    if work.request.conclude:
        work.text = ANSWER
        yield ANSWER
    if work.request.conclude or not work.request.constrained:
        async for piece in work.write():
            yield piece
        return
    allowed = work.request.allowed
    # An answer needs no stop, unless it is not allowed.
    stop = (_NEXT_CALL,) if "conclusion" in allowed else (_NEXT_CALL, _NEXT_ANSWER)
    async for piece in work.write(stop=stop):
        yield piece
    call_at, answer_at = call_start(work.text), answer_start(work.text)
    if not ((call_at is not None and "caller" in allowed) or (answer_at is not None and "conclusion" in allowed)):
        work.text = work.text[: call_at if answer_at is None else answer_at]
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
    """There is neither a call nor a conclusion that is allowed: continue with the beginning of one."""
    work.session.count_extra("constrained")
    work.text = work.text.rstrip()
    yield await work.write_all(constraint=Choices(_beginnings(work.request.allowed)), max_tokens=CHOICE_TOKENS)
    if work.text.endswith(ANSWER):
        async for piece in work.write():
            yield piece


def _beginnings(allowed: Collection[Decision]) -> tuple[str, ...]:
    """The beginning of each decision; a give-up begins like an answer."""
    call = (_NEXT_CALL,) if "caller" in allowed else ()
    if "conclusion" in allowed:
        return (*call, _NEXT_ANSWER)
    return (*call, f"{_NEXT_ANSWER} {GIVE_UP}") if "give up" in allowed else call


async def _retry(work: _Step) -> None:
    """A second attempt without constraints: of the answer if the text has a rationale, else of all of it."""
    work.session.count_extra("retry")
    try:
        work.text = parse_step(work.text).lead + ANSWER if "conclusion" in work.request.allowed else ""
    except UnreadableOutput:
        work.text = ""
    await work.write_all(**work.session.retry_sampling())


def _fault(work: _Step) -> UnreadableOutput | None:
    """Why the text is no step: it has no decision, one that is not allowed, or an empty answer. A call is not read."""
    try:
        decision = "caller" if call_start(work.text) is not None else _concluded(work.text).next
        require_allowed(decision, work.request.allowed, work.text)
    except UnreadableOutput as error:
        return error
    return None


def _concluded(text: str) -> BackboneStep:
    """A step without a call. Raises `UnreadableOutput` for none, and for one with an empty answer."""
    parsed = parse_step(text)
    if parsed.answer is not None and not parsed.answer.strip():
        raise UnreadableOutput("nothing follows 'conclusion:'", text)
    return parsed


async def _answer(work: _Step) -> StepAnswer:
    if (fault := _fault(work)) is not None:
        raise work.session.unreadable(fault, work.text) from fault
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
    parsed = parse_step(work.text)
    answer = None if parsed.answer is None else parsed.answer.strip()
    return StepAnswer(
        thought=parsed.thought,
        next=parsed.next,
        text=answer or "",
        answer=answer,
        unfinished=answer is not None and work.session.cut_at is not None,
        **work.session.answer_fields(),
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
