"""Measures of a text."""

from __future__ import annotations

from typing import Annotated

import textstat
from fastapi import APIRouter
from pydantic import BaseModel, Field

router = APIRouter(tags=["text"])


class Text(BaseModel):
    text: Annotated[str, Field(min_length=1, max_length=2_000, description="The text to measure")]


class TextMetrics(BaseModel):
    characters: int
    words: int
    sentences: int
    reading_seconds: float


@router.post("/text-metrics", operation_id="text_metrics", summary="Count words and sentences of a text")
def text_metrics(body: Text) -> TextMetrics:
    """Characters, words, sentences, and the time it takes to read them."""
    return TextMetrics(
        characters=len(body.text),
        words=textstat.lexicon_count(body.text),
        sentences=textstat.sentence_count(body.text),
        reading_seconds=round(textstat.reading_time(body.text), 2),
    )
