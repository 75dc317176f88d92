"""How the summarizer writes: free text, streamed, bounded by tokens."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import SummarizeAnswer, SummarizeRequest, as_history
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.summarizer import parse_answer
from alpha_umi.serving.context import RoleContext
from alpha_umi.serving.engine import Generation
from alpha_umi.serving.writing import Tally, fit_prompt, write

RETRY_TEMPERATURE = 0.7


async def summarize(
    context: RoleContext, request: SummarizeRequest, *, request_id: str
) -> AsyncGenerator[str | SummarizeAnswer, None]:
    """The answer as it is written, then the whole.

    An empty one is written once more, unless `attempts` is 1; then it is the error `output-unreadable`.
    """
    answer_tokens = request.max_tokens or context.answer_tokens
    fitted = await fit_prompt(context.host, history=as_history(request.history), answer_tokens=answer_tokens)
    generation = Generation(
        fitted.prompt,
        max_tokens=answer_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
    )
    warmer = replace(generation, temperature=max(generation.temperature, RETRY_TEMPERATURE), seed=request.seed or 1)
    tally = Tally(fitted)
    pieces: list[str] = []
    for number, attempt in enumerate((generation, warmer)[: request.attempts], start=1):
        tally.attempts = number
        if number > 1:
            context.metrics.count_extra("retry")
        async for piece in write(context, attempt, tally, request_id=request_id):
            pieces.append(piece)
            yield piece
        if "".join(pieces).strip():
            break
    yield SummarizeAnswer(
        answer=_read("".join(pieces), tally),
        usage=tally.usage(),
        timings=tally.timings(),
        truncated=fitted.truncated,
        prompt_sha256=tally.prompt.sha256,
    )


def _read(text: str, tally: Tally) -> str:
    try:
        return parse_answer(text)
    except UnreadableOutput as error:
        raise ServiceError("output-unreadable", error.reason, extra=tally.spent_on(text)) from error
