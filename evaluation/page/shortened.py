"""Texts of a bounded length, which say how much of them is left out."""

from __future__ import annotations

from typing import Final

from evaluation.page.blocks import Verbatim

# A prompt of 8,000 characters is shown whole.
CHARACTERS: Final = 12_000


def verbatim(label: str, text: str) -> Verbatim:
    """A text as it was written, or its two ends."""
    if len(text) <= CHARACTERS:
        return Verbatim(label, text)
    half = CHARACTERS // 2
    excluded = len(text) - 2 * half
    told = f"{label} ({excluded:,} characters of the middle are left out; the file has them)"
    return Verbatim(told, f"{text[:half]}\n[…]\n{text[-half:]}")
