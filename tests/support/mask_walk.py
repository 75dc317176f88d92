"""Walk a grammar the way an engine does: through the mask of allowed tokens, one token at a time."""

from __future__ import annotations

import random

from llguidance import LLMatcher, LLTokenizer

# A token is a byte, so that a walk through a grammar reaches every text that the grammar allows.
TOKENIZER = LLTokenizer("byte")
_CLOSING = b'"]}'


def walk(lark: str, seed: int, *, at_most: int) -> tuple[str, bool]:
    """A text of the grammar, and whether it is complete; else it is the beginning of one, `at_most` tokens long.

    Any allowed token can come, but what closes something comes more often, and the end as soon as it is allowed half of
    the time. Fails where the grammar allows nothing.
    """
    matcher = LLMatcher(TOKENIZER, LLMatcher.grammar_from_lark(lark))
    source = random.Random(seed)
    written: list[int] = []
    while not matcher.is_stopped() and len(written) < at_most:
        allowed = _allowed_tokens(matcher)
        closing = [token for token in allowed if token == TOKENIZER.eos_token or token in _CLOSING]
        written.append(source.choice(closing if closing and source.random() < 0.5 else allowed))
        assert matcher.consume_token(written[-1]), matcher.get_error()
    text: bytes = TOKENIZER.decode_bytes([token for token in written if token != TOKENIZER.eos_token])
    return text.decode(errors="ignore"), matcher.is_accepting()


def _allowed_tokens(matcher: LLMatcher) -> list[int]:
    mask = matcher.compute_bitmask()
    return [8 * byte + bit for byte, bits in enumerate(mask) if bits for bit in range(8) if bits >> bit & 1]
