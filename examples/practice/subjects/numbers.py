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
    measures = course.draw.sample(_MEASURES, course.draw.choice((1, 2)))
    named, listed = words_of([f"the {what}" for what, _ in measures]), words_of([str(value) for value in values])
    verb = "are" if len(measures) > 1 else "is"
    instruction = course.draw.choice((f"What {verb} {named} of {listed}?", f"Give me {named} of {listed}."))
    result = course.call(f"I call statistics with the values {listed}.", "statistics", {"values": values})
    answer = words_of([f"the {what} is {result[field]}" for what, field in measures])
    answer = f"{answer[0].upper()}{answer[1:]}."
    return Question(instruction, f"{answer} I can answer now.", answer)


def text(course: Course) -> Question:
    """The length of a text."""
    sentence, (what, field) = course.draw.choice(SENTENCES), course.draw.choice((*_LENGTHS, *_LENGTHS[:2]))
    instruction = course.draw.choice((
        f"How many {what} are in '{sentence}'?", f"How many {what} does '{sentence}' have?",
        f"Count the {what} of this text: '{sentence}'",
    ))  # fmt: skip
    result = course.call("I measure the text with text_metrics.", "text_metrics", {"text": sentence})
    answer = f"The text has {result[field]} {what}."
    return Question(instruction, f"{answer} I can answer now.", answer)
