"""Digests of instructions, by which copies are recognised without keeping the texts.

A digest is SHA-256 of the text, case-folded and with white space collapsed. A paraphrase has another one.
"""

from __future__ import annotations

import hashlib


def instruction_digest(text: str) -> str:
    """The digest of an instruction."""
    # Half a surrogate pair can stand in JSON, and is text all the same.
    normal = " ".join(text.casefold().split())
    return hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()
