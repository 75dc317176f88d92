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
# A prompt with more bytes per token than this was not read to its end. Ollama reads half of its context then. Counts of
# other prompts are no measure: English has four times as many bytes per token as digits.
_MOST_BYTES_PER_TOKEN = 8.0


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
            self._ratios = (*self._ratios, _bytes(prompt) / (tokens - self._fixed))[-_COUNTS:]

    def is_cut(self, prompt: AnyPrompt | str, tokens: int) -> bool:
        """Whether the server read only a part of a prompt, by the `tokens` that it counted."""
        return _bytes(prompt) >= _SHORTEST_COUNTED and _bytes(prompt) > _MOST_BYTES_PER_TOKEN * tokens


def _messages(prompt: AnyPrompt | str) -> int:
    return len(prompt.messages) if isinstance(prompt, ChatPrompt) else 1


def _bytes(prompt: AnyPrompt | str) -> int:
    if isinstance(prompt, ChatPrompt):
        return sum(len(message.content.encode("utf-8", "surrogatepass")) for message in prompt.messages)
    return len((prompt if isinstance(prompt, str) else prompt.text).encode("utf-8", "surrogatepass"))
