"""Prompts to token ids, with special tokens only where the template wrote them.

A tool that answers "<|im_end|>" must not end a turn. If a user's or a tool's text contains such a string, the prompt is
tokenized piece by piece, and only the template's markers become special tokens. Otherwise (nearly always) the complete
text is tokenized at once, as in training.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from alpha_umi.roles.template import AnyPrompt, ChatPrompt, Prompt

CACHED_PROMPTS = 16


class PromptTokenizer:
    """The tokenizer of a model folder."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        # Local files only, and never code from the folder.
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        self._specials: tuple[str, ...] = tuple(
            {*self._tokenizer.all_special_tokens, *self._tokenizer.get_added_vocab()}
        )

        # A prompt is counted while it is fitted, and encoded again right after.
        self._cached = lru_cache(maxsize=CACHED_PROMPTS)(self._encode_prompt)
        # Splitting special tokens is a mutable setting of the tokenizer, so threads exclude each other.
        self._lock = threading.Lock()

    def encode(self, prompt: AnyPrompt | str, continuation: str = "") -> list[int]:
        """Token ids of a prompt, followed by text that the model has generated. Thread-safe."""
        with self._lock:
            ids = self._cached(prompt)
            return [*ids, *(self._encode_plain(continuation) if continuation else ())]

    def count(self, text: str) -> int:
        """Number of tokens of a text that a model generates."""
        with self._lock:
            return len(self._encode_plain(text))

    def special_token(self, text: str) -> int | None:
        """The id of a special token, such as the end of turn; None for other text."""
        with self._lock:
            ids = self._encode(text, bare=True)
        return ids[0] if text in self._specials and len(ids) == 1 else None

    def decode(self, ids: list[int]) -> str:
        """Text of token ids, special tokens included."""
        return cast(str, self._tokenizer.decode(ids))

    def _encode_prompt(self, prompt: AnyPrompt | str) -> tuple[int, ...]:
        if isinstance(prompt, ChatPrompt):
            return tuple(self._encode(self._rendered(prompt), bare=True))
        if isinstance(prompt, str):
            return tuple(self._encode(prompt))
        if self._has_foreign_specials(prompt):
            return tuple(token for piece in self._pieces(prompt) for token in piece)
        return tuple(self._encode(prompt.text))

    def _rendered(self, prompt: ChatPrompt) -> str:
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        return cast(str, self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _has_foreign_specials(self, prompt: Prompt) -> bool:
        return any(text in piece for piece in between_markers(prompt) for text in (*self._specials, prompt.end_of_turn))

    def _pieces(self, prompt: Prompt) -> Iterator[list[int]]:
        marker = self._encode(prompt.end_of_turn, bare=True)
        for number, piece in enumerate(between_markers(prompt)):
            if number == 0:
                yield self._encode("")  # the tokenizer's prefix of every text, if any
            else:
                yield marker
            yield self._encode_plain(piece)

    def _encode(self, text: str, *, bare: bool = False) -> list[int]:
        return cast(list[int], self._tokenizer(text, add_special_tokens=not bare)["input_ids"])

    def _encode_plain(self, text: str) -> list[int]:
        encoded = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return cast(list[int], encoded["input_ids"])


def between_markers(prompt: Prompt) -> list[str]:
    """The texts between the ends of turns that the template wrote."""
    pieces = []
    start = 0
    for marker in prompt.markers:
        pieces.append(prompt.text[start:marker])
        start = marker + len(prompt.end_of_turn)
    pieces.append(prompt.text[start:])
    return pieces
