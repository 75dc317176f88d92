"""Retrieval of tools: BM25 over their names, descriptions and parameters.

A query is ordinary text: an instruction, and the planner's newest thought. Names are split at case and underscores. The
name counts twice, which puts a tool before those that only mention its subject. Each word of a query counts once, and a
plural `s` counts nothing. `benchmarks.retrieval` measures these choices.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from orchestrator.tools.model import Tool

_WORD = re.compile(r"[^\W_]+")
_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class ToolIndex:
    """The index of some tools, by the names under which they are offered. Building it takes about 0.1 ms a tool."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._names = list(tools)
        self._scores = _bm25().BM25()
        # A document without words has its name as one, because an index without any word cannot be built.
        documents = [list(_document(name, tool)) or [name] for name, tool in tools.items()]
        self._scores.index(documents, show_progress=False)

    def ranked(self, query: str) -> list[str]:
        """All names, best first; in the order of the tools where none is better."""
        words = list(dict.fromkeys(_words(query)))
        scores: list[float] = self._scores.get_scores(words).tolist() if words else [0.0] * len(self._names)
        return [self._names[place] for place in sorted(range(len(scores)), key=lambda place: -scores[place])]


@cache
def _bm25() -> Any:
    """The library. Importing it with its packages takes as long as a quarter of the start, so the first index does."""
    import bm25s

    # It logs a line for every index, whatever the level of the process.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    return bm25s


@cache
def _stop_words() -> frozenset[str]:
    _bm25()
    from bm25s.stopwords import STOPWORDS_EN

    return frozenset(STOPWORDS_EN)


def _document(name: str, tool: Tool) -> Iterator[str]:
    for text in (name, name, tool.description):
        yield from _words(text)
    properties = tool.parameters.get("properties", {})
    for parameter, schema in properties.items():
        yield from _words(parameter)
        yield from _words(_description(schema))


def _description(schema: Any) -> str:
    text = schema.get("description") if isinstance(schema, Mapping) else None
    return text if isinstance(text, str) else ""


def _words(text: str) -> Iterable[str]:
    words = (word.lower() for word in _WORD.findall(_CASE.sub(" ", text)))
    return (_singular(word) for word in words if word not in _stop_words())


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
