"""Questions about countries, currencies and languages."""

from __future__ import annotations

from collections.abc import Sequence

from examples.practice.course import Course, Question
from examples.practice.drawing import COUNTRIES, CURRENCIES, LANGUAGES

# A field as questions name it, and its name in the tool's answer.
_OF_COUNTRIES = (
    ("official name", "official_name"), ("two-letter code", "alpha_2"), ("three-letter code", "alpha_3"),
    ("numeric code", "numeric"),
)  # fmt: skip
_OF_CURRENCIES = (("numeric code", "numeric"), ("full name", "name"))
_OF_LANGUAGES = (("three-letter code", "alpha_3"), ("two-letter code", "code"))
_EVERYDAY_NAMES = {"Russia": "Russian Federation", "South Korea": "Korea, Republic of"}


def country(course: Course) -> Question:
    """A fact about a country."""
    wordings = ("What is the {what} of {name}?", "Tell me the {what} of {name}.")
    return _one_fact(course, "country", COUNTRIES, _OF_COUNTRIES, wordings)


def everyday_name(course: Course) -> Question:
    """A country that the tool knows by another name, which it suggests."""
    name, (what, field) = course.draw.choice(sorted(_EVERYDAY_NAMES)), course.draw.choice(_OF_COUNTRIES)
    course.call(f"I look up {name} with country_info.", "country_info", {"country": name})
    known = _EVERYDAY_NAMES[name]
    thought = f"The tool does not know {name}. I call country_info again with the name {known}."
    value = course.call(thought, "country_info", {"country": known})[field]
    return _answer_of(f"What is the {what} of {name}?", what, name, value)


def currency(course: Course) -> Question:
    """A fact about a currency."""
    wordings = ("What is the {what} of the currency {name}?", "Which {what} has {name}?")
    return _one_fact(course, "currency", CURRENCIES, _OF_CURRENCIES, wordings)


def language(course: Course) -> Question:
    """A code of a language."""
    wordings = ("What is the {what} of {name}?", "What is the {what} of the language {name}?")
    return _one_fact(course, "language", LANGUAGES, _OF_LANGUAGES, wordings)


def country_and_currency(course: Course) -> Question:
    """A fact about a country and one about a currency."""
    name, code = course.draw.choice(COUNTRIES), course.draw.choice(CURRENCIES)
    (what, field), (other, its) = course.draw.choice(_OF_COUNTRIES), course.draw.choice(_OF_CURRENCIES)
    instruction = course.draw.choice((
        f"What are the {what} of {name} and the {other} of the currency {code}?",
        f"What is the {what} of {name}, and what is the {other} of the currency {code}?",
    ))  # fmt: skip
    first = course.call(f"I look up {name} with country_info.", "country_info", {"country": name})[field]
    thought = f"The {what} of {name} is {first}. Now I look up {code} with currency_info."
    second = course.call(thought, "currency_info", {"currency": code})[its]
    answer = f"The {what} of {name} is {first}, and the {other} of {code} is {second}."
    return Question(instruction, f"{answer} I can answer now.", answer)


def _one_fact(
    course: Course, kind: str, names: Sequence[str], facts: Sequence[tuple[str, str]], wordings: Sequence[str]
) -> Question:
    name, (what, field) = course.draw.choice(names), course.draw.choice(facts)
    instruction = course.draw.choice(wordings).format(what=what, name=name)
    value = course.call(f"I look up {name} with {kind}_info.", f"{kind}_info", {kind: name})[field]
    return _answer_of(instruction, what, name, value)


def _answer_of(instruction: str, what: str, name: str, value: str) -> Question:
    return Question(instruction, f"The {what} is {value}. I can answer now.", f"The {what} of {name} is {value}.")
