"""How a caller comes to a call.

The text is constrained to a grammar of the offered tools. Every call is checked afterwards all the same: the grammar
knows a reduced form of the schemas. A call that cannot be used is repaired once, with the error in the prompt and
tighter bounds in the grammar; after that it is an error. `constrained: false` leaves the model on its own, as in the
paper; the check stays, and unless `attempts` is 1 the repair.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import ActionModel, CallAnswer, CallRequest, as_tools, call_history
from alpha_umi.roles.caller import Call
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.calls.offer import Rejected, call_grammars, read_call, shown_tools
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.engine import Generation
from alpha_umi.serving.writing import FittedPrompt, Tally, fit_prompt, write_all

REPAIR_TEMPERATURE = 0.7


async def call(context: RoleContext, request: CallRequest, *, request_id: str) -> AsyncGenerator[CallAnswer, None]:
    """One call. Raises `ServiceError`: `tool-schema-invalid`, or `call-invalid` after the repair."""
    # In threads, because large schemas take a while and other requests do not wait for them.
    tools = await asyncio.to_thread(shown_tools, as_tools(request.tools))
    answer_tokens = request.max_tokens or context.answer_tokens
    history = call_history(request)
    # Grammars first: a schema that cannot be used is refused before the model is asked.
    grammars = await asyncio.to_thread(call_grammars, tools, answer_tokens) if request.constrained else (None, None)
    fitted = await fit_prompt(context.host, history=history, tools=tools, answer_tokens=answer_tokens)
    generation = Generation(
        fitted.prompt,
        max_tokens=answer_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        constraint=grammars[0],
    )
    tally = Tally(fitted)
    outcome = read_call(await write_all(context, generation, tally, request_id=request_id), tools)
    if isinstance(outcome, Rejected) and request.attempts > 1:
        tally.attempts += 1
        context.metrics.count_extra("repair")
        fitted = await _repair_prompt(context, history, outcome, tools, answer_tokens)
        repair = replace(generation, prompt=fitted.prompt, constraint=grammars[1])
        if not request.constrained:
            repair = replace(repair, temperature=max(request.temperature, REPAIR_TEMPERATURE), seed=request.seed or 1)
        outcome = read_call(await write_all(context, repair, tally, request_id=request_id), tools)
    yield _answer(outcome, fitted, tally)


async def _repair_prompt(
    context: RoleContext, history: Sequence[Turn], rejected: Rejected, tools: Sequence[Tool], answer_tokens: int
) -> FittedPrompt:
    """The same question with the failed attempt and its error in the history, before the current rationale."""
    told = [
        *history[:-1],
        Turn("caller", rejected.text),
        Turn("observation", f"The call was not made: {rejected.reason}"),
        history[-1],
    ]
    return await fit_prompt(context.host, history=told, tools=tools, answer_tokens=answer_tokens)


def _answer(outcome: Call | Rejected, fitted: FittedPrompt, tally: Tally) -> CallAnswer:
    if isinstance(outcome, Rejected):
        raise ServiceError("call-invalid", outcome.reason, extra=tally.spent_on(outcome.text))
    return CallAnswer(
        action=ActionModel(name=outcome.name, arguments=dict(outcome.arguments)),
        text=outcome.text,
        repaired=tally.attempts > 1,
        usage=tally.usage(),
        timings=tally.timings(),
        truncated=fitted.truncated,
        prompt_sha256=tally.prompt.sha256,
    )
