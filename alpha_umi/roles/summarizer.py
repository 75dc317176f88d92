"""The summarizer's text: the answer for the user."""

from __future__ import annotations

from alpha_umi.roles.errors import UnreadableOutput

# Prefix of the observation when the summarizer's output is not the JSON that is demanded; the reason follows.
NO_ANSWER = "No answer was accepted: "


def parse_answer(text: str) -> str:
    """The answer without surrounding white space. Raises `UnreadableOutput` if it is empty."""
    answer = text.strip()
    if not answer:
        raise UnreadableOutput("the answer is empty", text)
    return answer
