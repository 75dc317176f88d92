"""Questions about countries, currencies and languages."""

from __future__ import annotations

from examples.practice.course import Course, Question
from examples.practice.drawing import COUNTRIES, CURRENCIES, LANGUAGES

# What people ask for, and the field that has it.
_OF_COUNTRIES = (
    ("official name", "official_name"), ("two-letter code", "alpha_2"), ("three-letter code", "alpha_3"),
    ("numeric code", "numeric"),
)  # fmt: skip
_OF_CURRENCIES = (("numeric code", "numeric"), ("full name", "name"))
_OF_LANGUAGES = (("three-letter code", "alpha_3"), ("two-letter code", "code"))
_EVERYDAY_NAMES = {"Russia": "Russian Federation", "South Korea": "Korea, Republic of"}


def country(course: Course) -> Question:
    """A fact about a country."""
    name, (what, field) = course.draw.choice(COUNTRIES), course.draw.choice(_OF_COUNTRIES)
    instruction = course.draw.choice((f"What is the {what} of {name}?", f"Tell me the {what} of {name}."))
    value = course.call(f"I look up {name} with country_info.", "country_info", {"country": name})[field]
    return Question(instruction, f"The {what} is {value}. I can answer now.", f"The {what} of {name} is {value}.")


def everyday_name(course: Course) -> Question:
    """A country that the tool knows by another name, which it suggests."""
    name, (what, field) = course.draw.choice(sorted(_EVERYDAY_NAMES)), course.draw.choice(_OF_COUNTRIES)
    course.call(f"I look up {name} with country_info.", "country_info", {"country": name})
    known = _EVERYDAY_NAMES[name]
    thought = f"The tool does not know {name}. I call country_info again with the name {known}."
    value = course.call(thought, "country_info", {"country": known})[field]
    return Question(
        f"What is the {what} of {name}?",
        f"The {what} is {value}. I can answer now.",
        f"The {what} of {name} is {value}.",
    )


def currency(course: Course) -> Question:
    """A fact about a currency."""
    code, (what, field) = course.draw.choice(CURRENCIES), course.draw.choice(_OF_CURRENCIES)
    instruction = course.draw.choice((f"What is the {what} of the currency {code}?", f"Which {what} has {code}?"))
    value = course.call(f"I look up {code} with currency_info.", "currency_info", {"currency": code})[field]
    return Question(instruction, f"The {what} is {value}. I can answer now.", f"The {what} of {code} is {value}.")


def language(course: Course) -> Question:
    """A code of a language."""
    name, (what, field) = course.draw.choice(LANGUAGES), course.draw.choice(_OF_LANGUAGES)
    instruction = course.draw.choice((f"What is the {what} of {name}?", f"What is the {what} of the language {name}?"))
    value = course.call(f"I look up {name} with language_info.", "language_info", {"language": name})[field]
    return Question(instruction, f"The {what} is {value}. I can answer now.", f"The {what} of {name} is {value}.")


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
    told = f"The {what} of {name} is {first}, and the {other} of {code} is {second}."
    return Question(instruction, f"{told} I can answer now.", told)
