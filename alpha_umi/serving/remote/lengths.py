"""Lengths of chats in tokens without a tokenizer: estimated from bytes, and corrected by the server's own counts.

Only the server knows its tokenizer and its chat template, and few servers count messages without answering them. But
each answer tells how many tokens its prompt had, and the next prompt of a role repeats most of it.
"""

from __future__ import annotations

import math

from alpha_umi.roles.template import AnyPrompt, ChatPrompt

# Bytes of UTF-8 per token before the first count. English has more: the first prompt seems longer than it is.
BYTES_PER_TOKEN = 3.0
# An estimate exceeds what the lowest of the last counts makes likely by this much.
MARGIN = 1.1
# Of the chat template, for each message.
MESSAGE_TOKENS = 8
_COUNTS = 8
_SHORTEST_COUNTED = 500
# A prompt with more bytes per token than this, or than so many times the most of the last counts, was not read to its
# end. Ollama reads half of its context then.
_MOST_BYTES_PER_TOKEN = 8.0
_MOST_GROWTH = 1.8
_REFUSED = 0.8


class Lengths:
    """Estimates of one model's prompts."""

    def __init__(self) -> None:
        # Replaced and never changed, because prompts are fitted in threads.
        self._ratios: tuple[float, ...] = ()
        self._fixed = 0

    def estimate(self, prompt: AnyPrompt | str) -> int:
        """Tokens of a prompt, rather too many than too few."""
        written = MARGIN * _bytes(prompt) / min(self._ratios, default=BYTES_PER_TOKEN)
        return self._fixed + math.ceil(written) + MESSAGE_TOKENS * _messages(prompt)

    def learn_fixed(self, prompt: AnyPrompt | str, tokens: int) -> None:
        """Note the server's count of a short prompt: most of it is what the chat template adds to every one."""
        self._fixed = 0
        self._fixed = max(0, tokens - self.estimate(prompt))

    def learn(self, prompt: AnyPrompt | str, tokens: int) -> None:
        """Note the server's count of a prompt."""
        if _bytes(prompt) >= _SHORTEST_COUNTED and tokens > self._fixed:
            self._note(_bytes(prompt) / (tokens - self._fixed))

    def learn_refusal(self) -> None:
        """Note that a prompt has more tokens than its estimate."""
        self._note(_REFUSED * min(self._ratios, default=BYTES_PER_TOKEN))

    def is_cut(self, prompt: AnyPrompt | str, tokens: int) -> bool:
        """Whether the server read only a part of a prompt, by the `tokens` that it counted."""
        most = _MOST_GROWTH * max(self._ratios) if self._ratios else _MOST_BYTES_PER_TOKEN
        return _bytes(prompt) >= _SHORTEST_COUNTED and _bytes(prompt) > most * tokens

    def _note(self, ratio: float) -> None:
        self._ratios = (*self._ratios, ratio)[-_COUNTS:]


def _messages(prompt: AnyPrompt | str) -> int:
    return len(prompt.messages) if isinstance(prompt, ChatPrompt) else 1


def _bytes(prompt: AnyPrompt | str) -> int:
    if isinstance(prompt, ChatPrompt):
        return sum(len(message.content.encode("utf-8", "surrogatepass")) for message in prompt.messages)
    return len((prompt if isinstance(prompt, str) else prompt.text).encode("utf-8", "surrogatepass"))
