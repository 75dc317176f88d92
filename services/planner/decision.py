"""How a planner comes to a decision.

The rationale is free text with a token bound and ends at the first decision. Only if none came, a second, short request
goes on from the same text and is constrained to the three endings (its prompt is cached by then). With
`constrained: false` the model is on its own, as in the paper: an unreadable output is generated once more with a little
temperature (unless `attempts` is 1), then it is an error, and the caller of the service applies its policy.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import PlanAnswer, PlanRequest, as_history, as_tools
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import DECISIONS, STOP_STRINGS, Plan, parse_plan
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.engine import Choices, Generation
from alpha_umi.serving.writing import FittedPrompt, Tally, fit_prompt, write, write_all

DECISION_TOKENS = 8
RETRY_TEMPERATURE = 0.7
_CUE = "Next:"


async def plan(
    context: RoleContext, request: PlanRequest, *, request_id: str
) -> AsyncGenerator[str | PlanAnswer, None]:
    """The rationale as it is written, then the answer. Raises `ServiceError`, `output-unreadable` among others."""
    answer_tokens = request.max_tokens or context.answer_tokens
    fitted = await fit_prompt(
        context.host,
        history=as_history(request.history),
        tools=as_tools(request.tools),
        answer_tokens=room(answer_tokens),
    )
    generation = Generation(
        fitted.prompt,
        max_tokens=answer_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        stop=STOP_STRINGS,
    )
    tally = Tally(fitted)
    pieces = []
    async for piece in write(context, generation, tally, request_id=request_id):
        pieces.append(piece)
        yield piece
    text = "".join(pieces)
    decided, way = _read(text), "free"
    if decided is None and request.constrained:
        decided, way = await _constrain(context, generation, text, tally, request_id), "constrained"
    elif decided is None and request.attempts > 1:
        decided, way = await _retry(context, generation, tally, request_id), "retry"
    elif decided is None:
        decided = _parsed(text, tally)
    context.metrics.count_decision(decided.next, way)
    yield _answer(decided, fitted, tally)


def room(answer_tokens: int) -> int:
    """Tokens that the prompt leaves free: for a rationale of so many, and the decision after it."""
    return answer_tokens + DECISION_TOKENS


def _read(text: str) -> Plan | None:
    try:
        found = parse_plan(text)
    except UnreadableOutput:
        return None
    # The stop string ends before the full point that the training data closes a decision with.
    return replace(found, ending=f"Next: {found.next}.")


async def _constrain(context: RoleContext, generation: Generation, text: str, tally: Tally, request_id: str) -> Plan:
    """Go on from the rationale with nothing but a decision."""
    lead = text.rpartition(_CUE)[0] if _CUE in text else f"{text.rstrip()} "
    cued = replace(
        generation,
        continuation=lead + _CUE,
        constraint=Choices(tuple(f" {decision}." for decision in DECISIONS)),
        max_tokens=DECISION_TOKENS,
        stop=(),
    )
    tally.attempts += 1
    context.metrics.count_extra("constrained")
    ending = await write_all(context, cued, tally, request_id=request_id)
    return _parsed(f"{lead}{_CUE}{ending}", tally)


async def _retry(context: RoleContext, generation: Generation, tally: Tally, request_id: str) -> Plan:
    """One more free attempt; a greedy one would write the same again."""
    tally.attempts += 1
    context.metrics.count_extra("retry")
    warmer = replace(generation, temperature=max(generation.temperature, RETRY_TEMPERATURE), seed=generation.seed or 1)
    text = await write_all(context, warmer, tally, request_id=request_id)
    decided = _read(text)
    if decided is not None:
        return decided
    return _parsed(text, tally)


def _parsed(text: str, tally: Tally) -> Plan:
    """Raises `ServiceError` for a text without a decision: an engine without constraints may write one."""
    try:
        return parse_plan(text)
    except UnreadableOutput as error:
        raise ServiceError("output-unreadable", error.reason, extra=tally.spent_on(text)) from error


def _answer(decided: Plan, fitted: FittedPrompt, tally: Tally) -> PlanAnswer:
    return PlanAnswer(
        thought=decided.thought,
        next=decided.next,
        text=decided.text,
        usage=tally.usage(),
        timings=tally.timings(),
        truncated=fitted.truncated,
        prompt_sha256=tally.prompt.sha256,
    )
