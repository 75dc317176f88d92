"""Instructions around the questions of parts: forms, politeness, order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from examples.practice.course import AnyPart
from examples.practice.drawing import words_of

_BEFORE: Final = (
    "Hi! {}", "Hello, {}", "Quick question: {}", "I have a question: {}", "Please tell me: {}", "One more thing: {}",
    "Please answer briefly: {}", "My daughter wants to know: {}", "For a quiz: {}", "Please check: {}",
    "I am planning a trip. {}", "I am writing a report. {}", "We are preparing a meeting. {}", "For my homework: {}",
    "Good morning! {}", "I wonder: {}", "My colleague needs this: {}",
)  # fmt: skip
_AFTER: Final = (
    "{} Thanks!", "{} Thank you.", "{} Please be exact.", "{} I need it for a form.", "{} Please look it up.",
    "{} I am not sure.", "{} Please answer in one sentence.",
)  # fmt: skip
_NOUNS: Final = (
    "Tell me {}.", "Give me {}.", "Please give me {}.", "I need {}.", "I would like to know {}.", "Can you tell me {}?",
    "Could you find out {}?", "Please look up {}.", "Show me {}.", "Find {}.", "I want to know {}.", "Do you know {}?",
    "{}, please.",
)  # fmt: skip
_ORDERS: Final = ("{}.", "{}.", "Please {}.", "Can you {}?", "Could you please {}?", "I want you to {}.", "{}, please.")
_JOINED: Final = ("{}, and {}?", "{}, and {}?", "{}? And {}?", "{}? Also, {}?", "{}, and also, {}?",
                  "First, {}? Second, {}?", "Two questions: {}? And {}?")  # fmt: skip


def instruct(draw: random.Random, *parts: AnyPart) -> str:
    """The parts as one instruction."""
    form, orders = draw.random(), [part.order for part in parts]
    if form < 0.25 and all(part.noun.startswith("the ") for part in parts):
        return capital(draw.choice(_NOUNS).format(words_of([part.noun for part in parts])))
    if form < 0.45 and all(orders):
        return capital(draw.choice(_ORDERS).format(words_of(orders)))
    return dressed(draw, _questions(draw, [part.question for part in parts]))


def dressed(draw: random.Random, question: str) -> str:
    """A question with or without something before and after it, or written carelessly."""
    if draw.random() < 0.04:
        return question[0].lower() + question[1:].removesuffix("?")
    if draw.random() < 0.12:
        question = draw.choice(_BEFORE).format(question)
    return draw.choice(_AFTER).format(question) if draw.random() < 0.08 else question


def capital(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[0].upper() + text[1:]


def _questions(draw: random.Random, clauses: Sequence[str]) -> str:
    if len(clauses) == 2 and not any(". " in clause for clause in clauses) and draw.random() < 0.7:
        return capital(draw.choice(_JOINED).format(*clauses))
    return " ".join(f"{capital(clause)}?" for clause in clauses)
