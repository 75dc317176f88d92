"""Questions about lists of numbers and about texts."""

from __future__ import annotations

from examples.practice.course import Course, Question
from examples.practice.drawing import SENTENCES, words_of

_MEASURES = (
    ("mean", "mean"), ("median", "median"), ("sum", "sum"), ("largest value", "maximum"), ("smallest value", "minimum"),
    ("standard deviation", "standard_deviation"),
)  # fmt: skip
_LENGTHS = (("words", "words"), ("characters", "characters"), ("words of more than six letters", "long_words"))


def statistics(course: Course) -> Question:
    """One or two measures of some numbers."""
    values = [course.draw.randrange(1, 100) for _ in range(course.draw.randrange(3, 8))]
    asked = course.draw.sample(_MEASURES, course.draw.choice((1, 2)))
    named, listed = words_of([f"the {what}" for what, _ in asked]), words_of([str(value) for value in values])
    verb = "are" if len(asked) > 1 else "is"
    instruction = course.draw.choice((f"What {verb} {named} of {listed}?", f"Give me {named} of {listed}."))
    found = course.call(f"I call statistics with the values {listed}.", "statistics", {"values": values})
    told = words_of([f"the {what} is {found[field]}" for what, field in asked])
    told = f"{told[0].upper()}{told[1:]}."
    return Question(instruction, f"{told} I can answer now.", told)


def text(course: Course) -> Question:
    """How long a text is."""
    sentence, (what, field) = course.draw.choice(SENTENCES), course.draw.choice((*_LENGTHS, *_LENGTHS[:2]))
    instruction = course.draw.choice((
        f"How many {what} are in '{sentence}'?", f"How many {what} does '{sentence}' have?",
        f"Count the {what} of this text: '{sentence}'",
    ))  # fmt: skip
    found = course.call("I measure the text with text_metrics.", "text_metrics", {"text": sentence})
    told = f"The text has {found[field]} {what}."
    return Question(instruction, f"{told} I can answer now.", told)
