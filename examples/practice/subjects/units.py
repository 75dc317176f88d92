"""Questions about units of measure."""

from __future__ import annotations

import json

from examples.practice.course import Course, Question

# Spoken name, and the tool's name; only units of one line measure the same quantity.
_KINDS = (
    (("kilometres", "kilometer"), ("miles", "mile"), ("metres", "meter"), ("yards", "yard"), ("feet", "foot")),
    (("centimetres", "centimeter"), ("inches", "inch"), ("feet", "foot"), ("millimetres", "millimeter")),
    (("kilograms", "kilogram"), ("pounds", "pound"), ("ounces", "ounce"), ("grams", "gram"), ("stones", "stone")),
    (("litres", "liter"), ("gallons", "gallon"), ("pints", "pint"), ("cups", "cup"), ("millilitres", "milliliter")),
    (("degrees Celsius", "celsius"), ("degrees Fahrenheit", "fahrenheit"), ("kelvins", "kelvin")),
    (("kilometres per hour", "kilometer/hour"), ("miles per hour", "mile/hour"), ("knots", "knot")),
    (("hours", "hour"), ("minutes", "minute"), ("days", "day"), ("weeks", "week")),
    (("joules", "joule"), ("calories", "calorie"), ("kilowatt hours", "kilowatt_hour")),
)
_Wanted = tuple[str, tuple[str, str], tuple[str, str]]


def one_quantity(course: Course) -> Question:
    """One quantity in another unit."""
    value, given, target = _drawn(course)
    instruction = course.draw.choice((
        f"How many {target[0]} are {value} {given[0]}?", f"Convert {value} {given[0]} to {target[0]}.",
        f"What are {value} {given[0]} in {target[0]}?", f"{value} {given[0]} are how many {target[0]}?",
    ))  # fmt: skip
    result = _convert(course, (value, given, target), "")
    return Question(
        instruction,
        f"{value} {given[0]} are {result} {target[0]}. I can answer now.",
        f"{value} {given[0]} are {result} {target[0]}.",
    )


def two_quantities(course: Course) -> Question:
    """Two quantities, one after the other."""
    one, other = _drawn(course), _drawn(course)
    instruction = course.draw.choice((
        f"How many {one[2][0]} are {one[0]} {one[1][0]}, and how many {other[2][0]} are {other[0]} {other[1][0]}?",
        f"Convert {one[0]} {one[1][0]} to {one[2][0]}, and {other[0]} {other[1][0]} to {other[2][0]}.",
    ))  # fmt: skip
    first = _convert(course, one, "")
    second = _convert(course, other, f"{one[0]} {one[1][0]} are {first} {one[2][0]}. ")
    answer = f"{one[0]} {one[1][0]} are {first} {one[2][0]}, and {other[0]} {other[1][0]} are {second} {other[2][0]}."
    return Question(instruction, f"{answer} I can answer now.", answer)


def _drawn(course: Course) -> _Wanted:
    given, target = course.draw.sample(course.draw.choice(_KINDS), 2)
    value = course.draw.choice((
        str(course.draw.randrange(1, 500)), str(course.draw.randrange(1, 50)), f"{course.draw.uniform(1, 120):.1f}",
    ))  # fmt: skip
    return value, given, target


def _convert(course: Course, what: _Wanted, before: str) -> str:
    value, (_, given), (_, target) = what
    exact = float(value) if "." in value else int(value)
    result = course.call(
        f"{before}I convert {value} {given} to {target} with convert_unit.",
        "convert_unit",
        {"value": exact, "from_unit": given, "to_unit": target},
    )
    return json.dumps(result["value"])
