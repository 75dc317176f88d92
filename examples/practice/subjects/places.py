"""Questions about countries, currencies and languages."""

from __future__ import annotations

from examples.practice.course import AnyPart, Course, OneCall, Part
from examples.practice.drawing import COUNTRIES, CURRENCIES, LANGUAGES, words_of

# A field as questions name it, and its name in the tool's answer.
_OF_COUNTRIES = (
    ("official name", "official_name"), ("two-letter code", "alpha_2"), ("three-letter code", "alpha_3"),
    ("numeric code", "numeric"), ("ISO 3166 alpha-2 code", "alpha_2"), ("ISO 3166 alpha-3 code", "alpha_3"),
    ("ISO country number", "numeric"), ("full official name", "official_name"), ("flag", "flag"),
    ("formal name", "official_name"), ("code of two letters", "alpha_2"), ("code of three letters", "alpha_3"),
)  # fmt: skip
_OF_CURRENCIES = (("numeric code", "numeric"), ("full name", "name"), ("ISO number", "numeric"), ("name", "name"))
_OF_LANGUAGES = (("three-letter code", "alpha_3"), ("two-letter code", "code"), ("ISO 639-1 code", "code"))
_TABLES = (
    ("country", COUNTRIES, _OF_COUNTRIES), ("currency", CURRENCIES, _OF_CURRENCIES),
    ("language", LANGUAGES, _OF_LANGUAGES),
)  # fmt: skip


def country(course: Course) -> AnyPart:
    """One or two facts about a country."""
    return _facts(course, "country", course.draw.choice(COUNTRIES), _OF_COUNTRIES)


def currency(course: Course) -> AnyPart:
    """One or two facts about a currency."""
    return _facts(course, "currency", course.draw.choice(CURRENCIES), _OF_CURRENCIES)


def code_of_currency(course: Course) -> AnyPart:
    """The code of a currency's name."""
    name = course.look_up("currency_info", {"currency": course.draw.choice(CURRENCIES)})["name"]
    return _facts(
        course, "currency", name, (("code", "code"), ("three-letter code", "code"), ("numeric code", "numeric"))
    )


def language(course: Course) -> AnyPart:
    """One or two codes of a language."""
    return _facts(course, "language", course.draw.choice(LANGUAGES), _OF_LANGUAGES)


def name_of_code(course: Course) -> AnyPart:
    """The country, currency or language of a code."""
    kind, names, _ = course.draw.choice(_TABLES)
    entry = course.look_up(f"{kind}_info", {kind: course.draw.choice(names)})
    codes = {"country": ("alpha_2", "alpha_3"), "currency": ("code",), "language": ("code", "alpha_3")}
    code = entry[course.draw.choice(codes[kind])]
    question = course.draw.choice((
        f"which {kind} has the code {code}", f"what {kind} does the code {code} stand for", f"which {kind} is {code}",
    ))  # fmt: skip
    noun, fact = f"the {kind} with the code {code}", f"the code {code} stands for {{name}}"
    return OneCall(question, noun, f"{kind}_info", {kind: code}, fact)


def same_of_two(course: Course) -> AnyPart:
    """The same fact about two countries, two currencies or two languages."""
    kind, known, fields = course.draw.choice(_TABLES)
    (one, other), (what, field) = course.draw.sample(known, 2), course.draw.choice(fields)
    question = course.draw.choice((
        f"what are the {what}s of {one} and {other}", f"which {what}s do {one} and {other} have",
        f"what is the {what} of {one} and of {other}", f"what is the {what} of {one}, and what is that of {other}",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        needs, names = [f"the {what} of {name}" for name in (one, other)], [{kind: one}, {kind: other}]
        first, second = course.pair(needs, f"{kind}_info", names, field)
        return f"the {what} of {one} is {first}, and that of {other} is {second}"

    return Part(question, f"the {what}s of {one} and {other}", solve)


def _facts(course: Course, kind: str, name: str, fields: tuple[tuple[str, str], ...]) -> AnyPart:
    chosen = course.draw.sample(fields, course.draw.choice((1, 1, 1, 2)))
    if len({field for _, field in chosen}) < len(chosen):
        raise LookupError("the same fact twice")
    what, verb = words_of([f"the {each}" for each, _ in chosen]), "are" if len(chosen) > 1 else "is"
    of = f"the {kind} {name}" if kind != "country" and course.draw.random() < 0.5 else name
    question = course.draw.choice((
        f"what {verb} {what} of {of}", f"what {verb} {what} of {of}",
        f"which {what.removeprefix('the ')} does {of} have",
        f"what {verb} {of}'s {what.removeprefix('the ')}" if len(chosen) == 1 else f"{of}: what {verb} {what}",
        f"my form asks for {what} of {of}. What {'do I write' if len(chosen) > 1 else 'is it'}",
        f"I am looking for {what} of {of}. Can you find {'them' if len(chosen) > 1 else 'it'}",
    ))  # fmt: skip
    fact = words_of([f"the {each} of {name} is {{{field}}}" for each, field in chosen])
    return OneCall(question, f"{what} of {of}", f"{kind}_info", {kind: name}, fact)
