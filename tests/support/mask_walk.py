"""Walk a grammar the way an engine does: through the mask of allowed tokens, one token at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from llguidance import LLMatcher, LLTokenizer

# Chooses one of the allowed tokens.
Choose = Callable[[Sequence[int]], int]


@cache
def tokenizer_of(model: Path) -> LLTokenizer:
    """The real model's tokenizer."""
    return LLTokenizer((model / "tokenizer.json").read_text(encoding="utf-8"))


def walk(tokenizer: LLTokenizer, lark: str, choose: Choose, *, at_most: int) -> tuple[str, int]:
    """The text that a model with these choices writes, and its tokens, the end of the turn included.

    Fails when it is not closed after `at_most` tokens.
    """
    matcher = LLMatcher(tokenizer, LLMatcher.grammar_from_lark(lark))
    written: list[int] = []
    while not matcher.is_stopped():
        assert len(written) <= at_most, f"still open: {tokenizer.decode_str(written)!r}"
        token = choose(allowed_tokens(matcher))
        assert matcher.consume_token(token), matcher.get_error()
        written.append(token)
    return tokenizer.decode_bytes([t for t in written if t != tokenizer.eos_token]).decode(), len(written)


def at_random(seed: int, tokenizer: LLTokenizer) -> Choose:
    """Any allowed token, but the end as soon as it is allowed half of the time."""
    source = random.Random(seed)

    end: int = tokenizer.eos_token

    def choose(allowed: Sequence[int]) -> int:
        if end in allowed and source.random() < 0.5:
            return end
        return source.choice(allowed)

    return choose


def never_ending(tokenizer: LLTokenizer) -> Choose:
    """The allowed token with the least progress: short ones first, what closes something only where it must be."""

    def choose(allowed: Sequence[int]) -> int:
        return min(allowed, key=lambda token: _progress(tokenizer, token))

    return choose


def _progress(tokenizer: LLTokenizer, token: int) -> tuple[tuple[bool, int, int], int]:
    return _progress_of(tokenizer.decode_bytes([token]), token == tokenizer.eos_token), token


@cache
def _progress_of(text: bytes, end: bool) -> tuple[bool, int, int]:
    closing = sum(text.count(mark) for mark in (b'"', b"]", b"}"))
    return end, closing, len(text)


def allowed_tokens(matcher: LLMatcher) -> list[int]:
    """The tokens that may come next."""
    mask = matcher.compute_bitmask()
    return [8 * byte + bit for byte, bits in enumerate(mask) if bits for bit in range(8) if bits >> bit & 1]
