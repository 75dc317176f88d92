"""How the single model takes a step.

It writes freely: a rationale, then `Action:` or `conclusion:` at the beginning of a line. A call is constrained from
its `Action:` on to the grammar of the offered tools, and where neither came, a short request goes on from the same text
and is constrained to the two. A call that cannot be used is repaired once, as the caller's is; one that cannot be made
all the same is told with the reason, for the model to read as an observation. With `constrained: false` the model is on
its own, as in the paper: a text with neither is generated once more with a little temperature, then it is an error, and
the caller of the service applies its policy. With `attempts: 1` nothing is repaired or generated once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import ActionModel, StepAnswer, StepRequest, as_history, as_tools
from alpha_umi.roles.backbone import ANSWER, CALL, BackboneStep, call_start, is_opened, parse_step
from alpha_umi.roles.caller import Call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.calls.offer import Rejected, call_grammars, read_call, shown_tools
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.engine import Choices, Generation, Grammar
from alpha_umi.serving.writing import FittedPrompt, Tally, fit_prompt, write

CHOICE_TOKENS = 8
RETRY_TEMPERATURE = 0.7
_NEXT_CALL = f"\n{CALL}"


@dataclass
class _Step:
    """One request on its way: what it is asked with, and the text so far. The second grammar is the repair's."""

    context: RoleContext
    request: StepRequest
    request_id: str
    tools: Sequence[Tool]
    answer_tokens: int
    grammars: tuple[Grammar, Grammar] | None
    fitted: FittedPrompt
    tally: Tally
    text: str = ""

    def generation(self, **changes: Any) -> Generation:
        """What goes on from the text so far."""
        whole = Generation(
            self.fitted.prompt,
            max_tokens=self.answer_tokens,
            continuation=self.text,
            temperature=self.request.temperature,
            top_p=self.request.top_p,
            seed=self.request.seed,
        )
        return replace(whole, **changes)

    def warmer(self) -> dict[str, Any]:
        """Changes for another attempt; a greedy one would write the same again."""
        return {"temperature": max(self.request.temperature, RETRY_TEMPERATURE), "seed": self.request.seed or 1}

    async def write(self, **changes: Any) -> AsyncIterator[str]:
        """Write on, piece by piece."""
        async for piece in write(self.context, self.generation(**changes), self.tally, request_id=self.request_id):
            self.text += piece
            yield piece

    async def write_all(self, **changes: Any) -> str:
        """Write on to the end."""
        return "".join([piece async for piece in self.write(**changes)])


async def step(
    context: RoleContext, request: StepRequest, *, request_id: str
) -> AsyncGenerator[str | StepAnswer, None]:
    """The text as it is written, then the answer. Raises `ServiceError`, `output-unreadable` among others."""
    work = await _begun(context, request, request_id)
    async for piece in _write(work):
        yield piece
    if request.attempts > 1 and call_start(work.text) is None and _conclusion_of(work.text) is None:
        await _retry(work)
    yield await _answer(work)


def room(answer_tokens: int) -> int:
    """Tokens that the prompt leaves free: rationale and call have a bound each."""
    return 2 * answer_tokens + CHOICE_TOKENS


async def _begun(context: RoleContext, request: StepRequest, request_id: str) -> _Step:
    # In threads, because large schemas take a while and other requests do not wait for them.
    tools = await asyncio.to_thread(shown_tools, as_tools(request.tools))
    answer_tokens = request.max_tokens or context.answer_tokens
    grammars = await asyncio.to_thread(call_grammars, tools, answer_tokens) if request.constrained else None
    history = as_history(request.history)
    fitted = await fit_prompt(context.host, history=history, tools=tools, answer_tokens=room(answer_tokens))
    return _Step(context, request, request_id, tools, answer_tokens, grammars, fitted, Tally(fitted))


async def _write(work: _Step) -> AsyncIterator[str]:
    if work.request.conclude:
        work.text = ANSWER
        yield ANSWER
    stop = () if work.request.conclude or work.grammars is None else (_NEXT_CALL,)
    async for piece in work.write(stop=stop):
        yield piece
    if work.grammars is None or work.request.conclude:
        return
    if not is_opened(work.text):
        async for piece in _choose(work):
            yield piece
    if work.text.endswith(_NEXT_CALL):
        work.text = work.text.removesuffix(CALL)
        written = len(CALL)
        async for piece in work.write(constraint=work.grammars[0]):
            # The grammar begins with what was shown already.
            if unseen := piece[written:]:
                yield unseen
            written = max(0, written - len(piece))


async def _choose(work: _Step) -> AsyncIterator[str]:
    """Neither a call nor a conclusion: go on with the beginning of one."""
    work.tally.attempts += 1
    work.context.metrics.count_extra("constrained")
    work.text = work.text.rstrip()
    yield await work.write_all(constraint=Choices((_NEXT_CALL, f"\n{ANSWER}")), max_tokens=CHOICE_TOKENS)
    if work.text.endswith(ANSWER):
        async for piece in work.write():
            yield piece


async def _retry(work: _Step) -> None:
    """One more free attempt: at the answer where it was empty, else at everything."""
    work.tally.attempts += 1
    work.context.metrics.count_extra("retry")
    try:
        work.text = parse_step(work.text).lead + ANSWER
    except UnreadableOutput:
        work.text = ""
    await work.write_all(**work.warmer())


def _conclusion_of(text: str) -> BackboneStep | None:
    try:
        return _concluded(text)
    except UnreadableOutput:
        return None


def _concluded(text: str) -> BackboneStep:
    """A step without a call. Raises `UnreadableOutput` for none, and for one with an empty answer."""
    found = parse_step(text)
    if found.answer is not None and not found.answer.strip():
        raise UnreadableOutput("nothing follows 'conclusion:'", text)
    return found


async def _answer(work: _Step) -> StepAnswer:
    attempts = work.tally.attempts
    way = "free" if attempts == 1 else "constrained" if work.request.constrained else "retry"
    call_at = call_start(work.text)
    if call_at is None:
        answer = _conclusion(work)
    else:
        answer = await _call_answer(work, work.text[:call_at].strip(), work.text[call_at:])
    work.context.metrics.count_decision(answer.next, way)
    return answer


def _conclusion(work: _Step) -> StepAnswer:
    try:
        found = _concluded(work.text)
    except UnreadableOutput as error:
        extra = work.tally.spent_on(work.text)
        raise ServiceError("output-unreadable", error.reason, extra=extra) from error
    answer = None if found.answer is None else found.answer.strip()
    return _whole(work, thought=found.thought, next=found.next, text=answer or "", answer=answer)


async def _call_answer(work: _Step, thought: str, text: str) -> StepAnswer:
    found, repaired = read_call(text, work.tools), False
    if isinstance(found, Rejected) and work.request.attempts > 1:
        found, repaired = await _repaired(work, thought, found), True
    if isinstance(found, Rejected):
        return _whole(work, thought=thought, next="caller", text=found.text, reason=found.reason, repaired=repaired)
    action = ActionModel(name=found.name, arguments=dict(found.arguments))
    return _whole(work, thought=thought, next="caller", text=found.text, action=action, repaired=repaired)


async def _repaired(work: _Step, thought: str, rejected: Rejected) -> Call | Rejected:
    """The same rationale once more, with the failed attempt and its error before it."""
    work.tally.attempts += 1
    work.context.metrics.count_extra("repair")
    told = (
        *as_history(work.request.history),
        Turn("planner", thought),
        Turn("caller", rejected.text),
        Turn("observation", f"The call was not made: {rejected.reason}"),
    )
    work.fitted = await fit_prompt(
        work.context.host, history=told, tools=work.tools, answer_tokens=room(work.answer_tokens)
    )
    work.text = f"{thought}\n" if thought else ""
    if work.grammars is not None:
        return read_call(await work.write_all(constraint=work.grammars[1]), work.tools)
    work.text += CALL
    return read_call(CALL + await work.write_all(**work.warmer()), work.tools)


def _whole(work: _Step, **fields: Any) -> StepAnswer:
    return StepAnswer(
        usage=work.tally.usage(),
        timings=work.tally.timings(),
        truncated=work.fitted.truncated,
        prompt_sha256=work.tally.prompt.sha256,
        **fields,
    )
