"""Count the tokens of many prompts that have most of their text in common.

A template ends turns with a special token, and a tokenizer takes a text apart at its special tokens before it does
anything else. So the tokens of a prompt are those of its pieces, and a piece that was counted before, such as the
tools, is not counted again. Whether that holds is seen on the first prompts: where it does not, as with tokenizers that
put something before every piece, whole prompts are counted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from alpha_umi.roles.template import Prompt
from alpha_umi.serving.tokens import PromptTokenizer, between_markers

TRIED: Final = 16
REMEMBERED: Final = 4_096


class PromptCounter:
    """Counts as serving does. `by_pieces` is what was seen so far."""

    def __init__(self, tokenizer: PromptTokenizer) -> None:
        self.by_pieces = True
        self._tokenizer = tokenizer
        self._piece = lru_cache(maxsize=REMEMBERED)(tokenizer.count)
        # What the tokenizer puts before every text, if anything.
        self._before = len(tokenizer.encode(""))
        self._to_try = TRIED

    def __call__(self, prompt: Prompt) -> int:
        """The tokens of a prompt."""
        if not self.by_pieces:
            return len(self._tokenizer.encode(prompt))
        pieces = self._before + len(prompt.markers) + sum(map(self._piece, between_markers(prompt)))
        if self._to_try == 0:
            return pieces
        self._to_try -= 1
        whole = len(self._tokenizer.encode(prompt))
        self.by_pieces = whole == pieces
        return whole
