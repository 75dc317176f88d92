"""What stands beside figures: what a suite leaves out, and which models were trained on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from alpha_umi.roles.turns import Role
from cli.plain_text import plain_line
from evaluation.notes import excluded_sentence, trained_on_sentences


def print_excluded(console: Console, excluded: Mapping[str, int]) -> None:
    """What of a suite is not measured, if anything."""
    told = excluded_sentence(excluded)
    if told is not None:
        console.print(Text(plain_line(told), style="yellow"), soft_wrap=True)


def print_trained_on(console: Console, models: Mapping[Role, Mapping[str, Any]]) -> None:
    """Each model that was trained on what it is measured on."""
    print_warnings(console, trained_on_sentences(models))


def print_warnings(console: Console, sentences: Iterable[str], where: str = "") -> None:
    """Sentences to be read beside the figures. `where` tells one of two runs."""
    for sentence in sentences:
        console.print(Text(plain_line(f"warning: {where}{sentence}"), style="yellow"), soft_wrap=True)
