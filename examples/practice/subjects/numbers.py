"""Questions about lists of numbers and about texts."""

from __future__ import annotations

from examples.practice.course import AnyPart, Course, OneCall, Part
from examples.practice.drawing import a_text, words_of

_MEASURES = (
    ("mean", "mean"), ("average", "mean"), ("median", "median"), ("sum", "sum"), ("total", "sum"),
    ("largest value", "maximum"), ("maximum", "maximum"), ("smallest value", "minimum"), ("minimum", "minimum"),
    ("standard deviation", "standard_deviation"), ("number of values", "count"),
)  # fmt: skip
_LENGTHS = (
    ("words", "words"), ("words", "words"), ("characters", "characters"), ("characters with spaces", "characters"),
    ("words of more than six letters", "long_words"), ("long words", "long_words"),
)  # fmt: skip


def statistics(course: Course) -> AnyPart:
    """One to three measures of some numbers."""
    values = _numbers(course)
    measures = course.draw.sample(_MEASURES, course.draw.choice((1, 1, 2, 2, 3)))
    if len({field for _, field in measures}) < len(measures):
        raise LookupError("the same measure twice")
    named, listed = words_of([f"the {what}" for what, _ in measures]), _listed(course, values)
    verb = "are" if len(measures) > 1 else "is"
    question = course.draw.choice((
        f"what {verb} {named} of {listed}", f"what {verb} {named} of the numbers {listed}",
        f"for the values {listed}, what {verb} {named}", f"I measured {listed}. What {verb} {named}",
        f"these are my results: {listed}. What {verb} {named}",
        f"we sold {listed} on the last days. What {verb} {named} of these",
    ))  # fmt: skip
    order = f"{course.draw.choice(('calculate', 'compute', 'work out'))} {named} of {listed}"
    fact = words_of([f"the {what} is {{{field}}}" for what, field in measures])
    call = ("statistics", {"values": values})
    return OneCall(question, f"{named} of {listed}", *call, fact, f"{named} of the numbers", order)


def which_list(course: Course) -> AnyPart:
    """The list with the larger mean, median or sum."""
    one, other = _numbers(course), _numbers(course)
    what, field = course.draw.choice(_MEASURES[:5])
    first, second = _listed(course, one), _listed(course, other)
    question = course.draw.choice((
        f"which has the larger {what}: {first}, or {second}",
        f"is the {what} of {first} larger than the {what} of {second}",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        needs = [f"the {what} of the {nth} list" for nth in ("first", "second")]
        left, right = course.pair(needs, "statistics", [{"values": one}, {"values": other}], field)
        verdict = "both are equal" if left == right else f"the {'first' if left > right else 'second'} is larger"
        return f"the {what} of the first list is {left} and of the second {right}, so {verdict}"

    return Part(question, f"which list has the larger {what}, {first} or {second}", solve)


def text(course: Course) -> AnyPart:
    """The length of a text."""
    measured, (what, field) = a_text(course.draw), course.draw.choice(_LENGTHS)
    quote = course.draw.choice(("'{}'", "'{}'", '"{}"')).format(measured)
    call = ("text_metrics", {"text": measured})
    if course.draw.random() < 0.12:
        question = course.draw.choice((
            f"how long does it take to read {quote}", f"how many seconds does reading {quote} take",
        ))  # fmt: skip
        fact = "reading the text takes {reading_seconds} seconds"
        return OneCall(question, f"the time to read {quote}", *call, fact, "the time to read the text")
    question = course.draw.choice((
        f"how many {what} are in {quote}", f"how many {what} does {quote} have",
        f"how many {what} are there in {quote}", f"how many {what} does this text have: {quote}",
        f"how many {what} has the sentence {quote}",
        f"I wrote {quote} on a card. How many {what} is that", f"the title is {quote}. How many {what} does it have",
    ))  # fmt: skip
    noun, need = f"the number of {what} in {quote}", f"the number of {what} in the text"
    return OneCall(question, noun, *call, f"the text has {{{field}}} {what}", need, f"count the {what} in {quote}")


def which_text(course: Course) -> AnyPart:
    """The longer text."""
    one, other = a_text(course.draw), a_text(course.draw)
    what, field = course.draw.choice((("words", "words"), ("characters", "characters")))

    def solve(course: Course) -> str:
        needs = [f"the number of {what} in the {nth} text" for nth in ("first", "second")]
        first, second = course.pair(needs, "text_metrics", [{"text": one}, {"text": other}], field)
        verdict = "both have as many" if first == second else f"the {'first' if first > second else 'second'} has more"
        return f"the first text has {first} {what} and the second {second}, so {verdict}"

    noun = f"which text has more {what}, '{one}' or '{other}'"
    return Part(noun, noun, solve)


def _numbers(course: Course) -> list[float]:
    draw = course.draw
    one = draw.choice((
        lambda: draw.randrange(1, 100), lambda: draw.randrange(1, 30), lambda: round(draw.uniform(0, 50), 1),
        lambda: draw.randrange(-40, 60), lambda: draw.randrange(100, 5000), lambda: round(draw.uniform(0, 9), 2),
    ))  # fmt: skip
    return [one() for _ in range(draw.randrange(3, 8))]


def _listed(course: Course, values: list[float]) -> str:
    texts = [str(value) for value in values]
    return course.draw.choice((words_of(texts), words_of(texts), ", ".join(texts), f"[{', '.join(texts)}]"))
