"""How the single model takes a step.

It writes freely: a rationale, then `Action:` or `conclusion:` at the beginning of a line. A call is constrained from
its `Action:` on to the grammar of the offered tools, and where neither came, a short request goes on from the same text
and is constrained to the two. A call that cannot be made all the same is told with the reason, for the model to read as
an observation. With `constrained: false` the model is on its own, as in the paper: an unreadable text is generated once
more with a little temperature, then it is an error, and the caller of the service applies its policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import ActionModel, StepAnswer, StepRequest, as_history, as_tools
from alpha_umi.roles.backbone import ANSWER, CALL, BackboneStep, parse_step
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.turns import Tool
from alpha_umi.serving.calls.offer import Rejected, call_grammars, read_call, shown_tools
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.engine import Choices, Generation, Grammar
from alpha_umi.serving.writing import FittedPrompt, Tally, fit_prompt, write, write_all

CHOICE_TOKENS = 8
RETRY_TEMPERATURE = 0.7


@dataclass
class _Step:
    """One request on its way: what it is asked with, and the text so far."""

    context: RoleContext
    request: StepRequest
    request_id: str
    tools: Sequence[Tool]
    fitted: FittedPrompt
    answer_tokens: int
    grammar: Grammar | None
    tally: Tally = field(default_factory=Tally)
    text: str = ""

    def generation(self, **changes: object) -> Generation:
        """What goes on from the text so far."""
        request = self.request
        whole = Generation(
            self.fitted.prompt,
            max_tokens=self.answer_tokens,
            continuation=self.text,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
        )
        return replace(whole, **changes)  # type: ignore[arg-type]

    async def write(self, **changes: object) -> AsyncIterator[str]:
        """Write on, piece by piece."""
        async for piece in write(self.context, self.generation(**changes), self.tally, request_id=self.request_id):
            self.text += piece
            yield piece

    async def write_all(self, **changes: object) -> str:
        """Write on to the end."""
        generation = self.generation(**changes)
        written = await write_all(self.context, generation, self.tally, request_id=self.request_id)
        self.text += written
        return written


async def step(
    context: RoleContext, request: StepRequest, *, request_id: str
) -> AsyncGenerator[str | StepAnswer, None]:
    """The text as it is written, then the answer. Raises `ServiceError`, `output-unreadable` among others."""
    tools = await asyncio.to_thread(shown_tools, as_tools(request.tools))
    answer_tokens = request.max_tokens or context.answer_tokens
    grammar = (await asyncio.to_thread(call_grammars, tools, answer_tokens))[1] if request.constrained else None
    # Rationale and call have a bound each.
    room = 2 * answer_tokens + CHOICE_TOKENS
    fitted = await fit_prompt(context.host, history=as_history(request.history), tools=tools, answer_tokens=room)
    work = _Step(context, request, request_id, tools, fitted, answer_tokens, grammar)
    async for piece in _write(work):
        yield piece
    if not request.constrained and _read(work.text) is None:
        await _retry(work)
    yield _answer(work)


async def _write(work: _Step) -> AsyncIterator[str]:
    if work.request.conclude:
        work.text = ANSWER
        yield ANSWER
        async for piece in work.write():
            yield piece
    elif work.grammar is None:
        async for piece in work.write():
            yield piece
    else:
        async for piece in _write_constrained(work, work.grammar):
            yield piece


async def _write_constrained(work: _Step, grammar: Grammar) -> AsyncIterator[str]:
    async for piece in work.write(stop=(f"\n{CALL}",)):
        yield piece
    if not (work.text.endswith(f"\n{CALL}") or _read(work.text) is not None):
        # Neither a call nor a conclusion: go on with the beginning of one.
        work.tally.attempts += 1
        work.context.metrics.count_extra("constrained")
        work.text = work.text.rstrip()
        choice = Choices((f"\n{CALL}", f"\n{ANSWER}"))
        yield await work.write_all(constraint=choice, max_tokens=CHOICE_TOKENS)
        if work.text.endswith(ANSWER):
            async for piece in work.write():
                yield piece
    if work.text.endswith(f"\n{CALL}"):
        work.text = work.text.removesuffix(CALL)
        yield await work.write_all(constraint=grammar)


async def _retry(work: _Step) -> None:
    """One more free attempt; a greedy one would write the same again."""
    work.tally.attempts += 1
    work.context.metrics.count_extra("retry")
    work.text = ""
    temperature = max(work.request.temperature, RETRY_TEMPERATURE)
    await work.write_all(temperature=temperature, seed=work.request.seed or 1)


def _read(text: str) -> BackboneStep | None:
    try:
        return parse_step(text)
    except UnreadableOutput:
        return None


def _answer(work: _Step) -> StepAnswer:
    answer = _told(work)
    way = "free" if work.tally.attempts == 1 else "constrained" if work.request.constrained else "retry"
    work.context.metrics.count_decision(answer.next, way)
    return answer


def _told(work: _Step) -> StepAnswer:
    text = work.text
    try:
        taken = parse_step(text)
    except UnreadableOutput as error:
        lead = text.partition(f"\n{CALL}")[0]
        if lead == text:
            extra = {"text": text, "usage": work.tally.usage().model_dump()}
            raise ServiceError("output-unreadable", error.reason, extra=extra) from error
        # It meant to call, and what it wrote is no call.
        return _whole(work, thought=lead.strip(), next="caller", text=text[len(lead) + 1 :], reason=error.reason)
    if taken.call is None:
        return _whole(work, thought=taken.thought, next=taken.next, text=taken.answer or "", answer=taken.answer)
    return _call_answer(work, taken.thought, taken.call.text)


def _call_answer(work: _Step, thought: str, text: str) -> StepAnswer:
    found = read_call(text, work.tools)
    if isinstance(found, Rejected):
        return _whole(work, thought=thought, next="caller", text=text, reason=found.reason)
    action = ActionModel(name=found.name, arguments=dict(found.arguments))
    return _whole(work, thought=thought, next="caller", text=text, action=action)


def _whole(work: _Step, **fields: object) -> StepAnswer:
    return StepAnswer(
        usage=work.tally.usage(),
        timings=work.tally.timings(),
        truncated=work.fitted.truncated,
        **fields,  # type: ignore[arg-type]
    )
