"""The planner's text: a rationale, then one of three decisions after "Next:"."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from alpha_umi.roles.errors import UnreadableOutput

Decision = Literal["caller", "conclusion", "give up"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
# A generation ends at its first decision.
STOP_STRINGS = tuple(f"Next: {decision}" for decision in DECISIONS)

_ENDING = re.compile(r"Next:[ \t]*(?P<decision>caller|conclusion|give up)\b\.?")
_BROKEN_ENDING = re.compile(r"Next:[^\n]{0,60}")


@dataclass(frozen=True)
class Plan:
    """A planner's output, truncated after its decision as in the published pipeline.

    `lead` is the unmodified text before the decision; `ending` the text of the decision.
    """

    lead: str
    ending: str
    next: Decision

    @property
    def thought(self) -> str:
        """The rationale without the decision."""
        return self.lead.strip()

    @property
    def text(self) -> str:
        """The planner's turn for the history."""
        return self.lead + self.ending


def parse_plan(text: str, allowed: Collection[Decision] = DECISIONS) -> Plan:
    """Parse a planner's output; the first decision counts, and text after it is dropped.

    Raises `UnreadableOutput` when there is no decision, "Next:" names something else, or a decision is not `allowed`.
    """
    match = _ENDING.search(text)
    if match is None:
        broken = _BROKEN_ENDING.search(text)
        if broken:
            raise UnreadableOutput(f"{broken.group(0)!r} names none of {', '.join(DECISIONS)}", text)
        raise UnreadableOutput('no decision: the text holds no "Next:"', text)
    decision = next(known for known in DECISIONS if known == match["decision"])
    require_allowed(decision, allowed, text)
    return Plan(text[: match.start()], match.group(0), decision)


def without_decision(text: str) -> str:
    """The rationale of a planner's turn."""
    return _ENDING.sub("", text).strip()


def require_allowed(decision: Decision, allowed: Collection[Decision], text: str) -> None:
    """Raises `UnreadableOutput` for a text with a decision that is not allowed."""
    if decision not in allowed:
        raise UnreadableOutput(f"the decision {decision!r} is none of {', '.join(allowed)}", text)


def write_plan(thought: str, decision: Decision) -> str:
    """A planner's turn in the published form."""
    return f"{thought} Next: {decision}."
