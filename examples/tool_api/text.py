"""Measures of a text, computed by textstat.

Syllables and reading grades are omitted, because they need a pronouncing dictionary from the network; sentences too,
because textstat ignores the shortest ones.
"""

from __future__ import annotations

from typing import Annotated

import textstat  # type: ignore[import-untyped,unused-ignore]
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

router = APIRouter(tags=["text"])


class Text(BaseModel):
    """A text."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=2_000, description="The text to measure")]


class TextMetrics(BaseModel):
    """How long a text is. Words are separated by spaces; a long one has more than six letters."""

    characters: int
    words: int
    long_words: int
    reading_seconds: float


@router.post("/text-metrics", operation_id="text_metrics", summary="Count characters and words of a text")
def text_metrics(body: Text) -> TextMetrics:
    """Characters with spaces, words, words of more than six letters, and the time it takes to read the text."""
    return TextMetrics(
        characters=len(body.text),
        words=textstat.lexicon_count(body.text),
        long_words=textstat.long_word_count(body.text),
        reading_seconds=round(textstat.reading_time(body.text), 2),
    )
