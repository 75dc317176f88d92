"""The summarizer service: `python -m services.summarizer`. Its answer is free text, streamed, with a token bound.

It ends before the first of the request's stop texts. With an `answer_schema` it is written inside the grammar of the
schema, as a call is, and validated against the full schema. One that the schema does not allow, or that the service's
own token bound cut, is repaired once, with the reason in the prompt; after that it is the error `answer-invalid`. An
empty answer is generated once more; after that it is the error `output-unreadable`. With `attempts: 1` neither is
tried.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.roles import SUMMARIZE, RenderSummarizeRequest, SummarizeAnswer, SummarizeRequest, as_history
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.serving.assembly import RoleContext
from alpha_umi.serving.calls.answers import answer_constraint, read_answer, repair_history
from alpha_umi.serving.engine import Grammar
from alpha_umi.serving.generation import GenerationSession
from alpha_umi.serving.responses import role_router


def create_router(context: RoleContext) -> APIRouter:
    """Routes of one summarizer."""
    return role_router(
        context,
        SUMMARIZE,
        summarize,
        summary="Write the answer for the user",
        render_model=RenderSummarizeRequest,
    )


@dataclass
class _Answer:
    """One request in progress, and its text so far. `stopped`: a stop text ended it."""

    session: GenerationSession
    request: SummarizeRequest
    grammar: Grammar | None
    text: str = ""
    stopped: bool = False

    async def write(self, **changes: Any) -> AsyncIterator[str]:
        """Write the text anew, piece by piece."""
        self.text, self.stopped = "", False
        stop = self.request.stop
        written = self.session.stream(self.session.generation(stop=tuple(stop), constraint=self.grammar, **changes))
        held = ""
        # To the end, which has the usage.
        async for piece in written:
            if self.stopped:
                continue
            ready, held, self.stopped = _before(stop, held + piece)
            self.text += ready
            if ready:
                yield ready
        self.text += held
        if held:
            yield held

    @property
    def is_cut(self) -> bool:
        """Whether the token limit ended the text."""
        return self.session.cut_at is not None

    def read(self) -> str:
        """The answer. Raises `UnreadableOutput`."""
        # Where the client has the text end early, it is the beginning of the JSON.
        schema = None if self.stopped or self.session.is_cut_by_request else self.request.answer_schema
        return read_answer(self.text, schema, cut_at=self.session.cut_at)


async def summarize(
    context: RoleContext, request: SummarizeRequest, *, request_id: str
) -> AsyncGenerator[str | SummarizeAnswer, None]:
    """Yield the answer in pieces, then the complete answer; a repair is not streamed.

    Raises `ServiceError`: `answer-schema-invalid`, `answer-invalid`, `output-unreadable`.
    """
    grammar = await answer_constraint(context, request.answer_schema)
    session = await GenerationSession.open(
        context, request, request_id, history=as_history(request.history), answer_schema=request.answer_schema
    )
    work = _Answer(session, request, grammar)
    async for piece in work.write():
        yield piece
    if request.attempts > 1 and not work.text.strip():
        session.count_extra("retry")
        async for piece in work.write(**session.retry_sampling()):
            yield piece
    answer = await _read(work)
    yield SummarizeAnswer(answer=answer, unfinished=work.is_cut, **session.answer_fields())


def _before(stop: Sequence[str], text: str) -> tuple[str, str, bool]:
    """The part of a text before a stop text; an end of it that may be the beginning of one; whether there is one."""
    ends = [at for word in stop if (at := text.find(word)) >= 0]
    if ends:
        return text[: min(ends)], "", True
    longest = min(len(text), max(map(len, stop), default=1) - 1)
    held = next((size for size in range(longest, 0, -1) if any(word.startswith(text[-size:]) for word in stop)), 0)
    return text[: len(text) - held], text[len(text) - held :], False


async def _read(work: _Answer) -> str:
    """The answer, repaired if it is the request's first text."""
    session = work.session
    try:
        return work.read()
    except UnreadableOutput as error:
        if work.grammar is None or not work.text.strip() or work.request.attempts == session.stats.attempts:
            raise _failure(work, error) from error
        history = repair_history(as_history(work.request.history), error, unfinished=work.is_cut)
        await session.begin_repair(history, ())
        changes = {"max_tokens": session.more_tokens()} if work.is_cut else {}
        async for _ in work.write(**changes):
            pass
    try:
        return work.read()
    except UnreadableOutput as error:
        raise _failure(work, error) from error


def _failure(work: _Answer, error: UnreadableOutput) -> ServiceError:
    if work.grammar is None or not work.text.strip():
        return work.session.unreadable(error, work.text)
    return ServiceError("answer-invalid", error.reason, extra=work.session.as_extra(work.text))
