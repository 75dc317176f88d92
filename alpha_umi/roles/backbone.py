"""The single model's text: a rationale, then a call, an answer or `give up`, in one turn."""

from __future__ import annotations

from dataclasses import dataclass

from alpha_umi.roles.caller import Call, parse_call
from alpha_umi.roles.errors import UnreadableOutput
from alpha_umi.roles.planner import Decision

ANSWER = "conclusion:"
CALL = "Action:"
GIVE_UP = "give up."


@dataclass(frozen=True)
class BackboneStep:
    """A single model's output: `call` with decision `caller`, `answer` with `conclusion`, neither with `give up`."""

    lead: str
    next: Decision
    call: Call | None = None
    answer: str | None = None

    @property
    def thought(self) -> str:
        """The rationale alone."""
        return self.lead.strip()

    @property
    def text(self) -> str:
        """The turn for the history."""
        if self.call is not None:
            return self.lead + self.call.text
        return f"{self.lead}{ANSWER} " + (self.answer if self.answer is not None else GIVE_UP)


def parse_step(text: str) -> BackboneStep:
    """Parse a single model's output; the first of call and conclusion counts.

    Raises `UnreadableOutput` when there is neither.
    """
    call_at = call_start(text)
    if call_at is not None:
        return BackboneStep(text[:call_at], "caller", call=parse_call(text[call_at:]))
    answer_at = answer_start(text)
    if answer_at is None:
        raise UnreadableOutput("neither an 'Action:' nor a 'conclusion:' line", text)
    answer = text[answer_at:].removeprefix(ANSWER).removeprefix(" ")
    if answer.strip().rstrip(".") == GIVE_UP.rstrip("."):
        return BackboneStep(text[:answer_at], "give up")
    return BackboneStep(text[:answer_at], "conclusion", answer=answer)


def call_start(text: str) -> int | None:
    """The offset at which a call begins, valid or not; None without a call, or if a conclusion precedes it."""
    return _first(text, CALL, ANSWER)


def answer_start(text: str) -> int | None:
    """The offset at which a conclusion begins; None without one, or if a call precedes it."""
    return _first(text, ANSWER, CALL)


def _first(text: str, word: str, other: str) -> int | None:
    start, others_start = _line_start(text, word), _line_start(text, other)
    return None if start is None or (others_start is not None and others_start < start) else start


def _line_start(text: str, word: str) -> int | None:
    if text.startswith(word):
        return 0
    start = text.find(f"\n{word}")
    return None if start < 0 else start + 1
