"""Prompts to token ids, with special tokens only where the template wrote them.

A tool that answers "<|im_end|>" must not end a turn. If a user's or a tool's text contains such a string, the prompt is
tokenized piece by piece, and only the template's pieces contain special tokens. Otherwise (nearly always) the complete
text is tokenized at once, as in training.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

from alpha_umi.plain_text import beginning
from alpha_umi.roles.template import AnyPrompt, ChatPrompt, Prompt
from alpha_umi.serving.chat_format import ChatFormat, Piece, read_chat_formats
from alpha_umi.serving.manifest import ManifestError

CACHED_PROMPTS = 16


class TokenizerUnusable(ManifestError):
    """The tokenizer of a model folder cannot be loaded."""


class PromptTokenizer:
    """The tokenizer of a model folder. Raises `TokenizerUnusable`."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        try:
            # Local files only, and never code from the folder.
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # the library has no class of its own for files that it cannot read
            reason = f"{type(error).__name__}: {beginning(str(error), 200)}"
            raise TokenizerUnusable(
                f"{folder}: its tokenizer cannot be loaded ({reason}); fetch the model again, or name one whose "
                "tokenizer needs no code of its own"
            ) from error
        self._folder = folder
        self._specials = {*self._tokenizer.all_special_tokens, *self._tokenizer.get_added_vocab()}
        # Longer ones first, as one may begin another.
        longest_first = sorted(self._specials, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

        # A prompt is counted while it is fitted, and encoded again right after.
        self._cached = lru_cache(maxsize=CACHED_PROMPTS)(self._encode_prompt)
        # Splitting special tokens is a mutable setting of the tokenizer, so threads exclude each other.
        self._lock = threading.Lock()

    def encode(self, prompt: AnyPrompt | str, continuation: str = "") -> list[int]:
        """Token ids of a prompt, followed by text that the model has generated. Thread-safe.

        Raises `ChatTemplateUnusable` for the first chat, if the model has no usable chat template.
        """
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

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads."""
        return prompt if isinstance(prompt, str) else "".join(piece.text for piece in self._pieces(prompt))

    @cached_property
    def _chat_formats(self) -> dict[bool, ChatFormat]:
        return read_chat_formats(self._folder, self._tokenizer)

    def _pieces(self, prompt: AnyPrompt) -> Iterator[Piece]:
        if isinstance(prompt, ChatPrompt):
            yield from self._chat_formats[prompt.thinking].pieces(prompt)
            return
        first, *others = between_markers(prompt)
        yield Piece(first, is_markup=False)
        for piece in others:
            yield Piece(prompt.end_of_turn, is_markup=True)
            yield Piece(piece, is_markup=False)

    def _encode_prompt(self, prompt: AnyPrompt | str) -> tuple[int, ...]:
        if isinstance(prompt, str):
            return tuple(self._encode(prompt))
        pieces = list(self._pieces(prompt))
        # A chat template writes the tokenizer's prefix of every text itself.
        bare = isinstance(prompt, ChatPrompt)
        if not self._has_foreign_specials(pieces):
            return tuple(self._encode("".join(piece.text for piece in pieces), bare=bare))
        ids = [] if bare else self._encode("")
        for text, is_markup in pieces:
            ids += self._encode(text, bare=True) if is_markup else self._encode_plain(text)
        return tuple(ids)

    def _has_foreign_specials(self, pieces: list[Piece]) -> bool:
        """Whether there are special tokens besides those of the markup, be it that a text and the markup make one."""
        own = sum(len(self._special.findall(piece.text)) for piece in pieces if piece.is_markup)
        return len(self._special.findall("".join(piece.text for piece in pieces))) != own

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
