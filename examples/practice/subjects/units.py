"""Questions about units of measure."""

from __future__ import annotations

from dataclasses import dataclass

from examples.practice.course import AnyPart, Course, Json, OneCall, Part
from examples.practice.drawing import a_number

# Names as people write them, and the tool's name; only units of one line measure the same quantity. The adjectives
# compare two of them.
_KINDS = (
    ("longer", "shorter",
     ("kilometres|kilometers|km", "kilometer"), ("miles|mi", "mile"), ("metres|meters|m", "meter"), ("yards", "yard"),
     ("feet|ft", "foot"), ("nautical miles", "nautical_mile")),
    ("longer", "shorter",
     ("centimetres|centimeters|cm", "centimeter"), ("inches", "inch"), ("feet|ft", "foot"),
     ("millimetres|millimeters|mm", "millimeter"), ("metres|meters", "meter")),
    ("heavier", "lighter",
     ("kilograms|kilos|kg", "kilogram"), ("pounds|lb", "pound"), ("ounces|oz", "ounce"), ("grams|g", "gram"),
     ("stones", "stone"), ("tonnes", "tonne")),
    ("more", "less",
     ("litres|liters", "liter"), ("gallons|US gallons", "gallon"), ("pints", "pint"), ("cups", "cup"),
     ("millilitres|milliliters|ml", "milliliter"), ("fluid ounces", "fluid_ounce"), ("cubic metres", "cubic meter")),
    ("warmer", "colder",
     ("degrees Celsius|°C|Celsius", "celsius"), ("degrees Fahrenheit|°F|Fahrenheit", "fahrenheit"),
     ("kelvins", "kelvin")),
    ("faster", "slower",
     ("kilometres per hour|km/h|kilometers per hour", "kilometer/hour"), ("miles per hour|mph", "mile/hour"),
     ("knots", "knot"), ("metres per second|m/s", "meter/second")),
    ("longer", "shorter",
     ("hours", "hour"), ("minutes", "minute"), ("days", "day"), ("weeks", "week"), ("seconds", "second")),
    ("more", "less",
     ("joules", "joule"), ("calories", "calorie"), ("kilowatt hours|kWh", "kilowatt_hour"),
     ("kilojoules|kJ", "kilojoule")),
    ("larger", "smaller",
     ("square metres|square meters", "square meter"), ("square feet", "square foot"), ("acres", "acre"),
     ("hectares", "hectare"), ("square kilometres", "square kilometer"), ("square miles", "square mile")),
    ("higher", "lower", ("bars", "bar"), ("pascals", "pascal"), ("atmospheres", "atmosphere"), ("psi", "psi")),
    ("stronger", "weaker", ("watts", "watt"), ("horsepower", "horsepower"), ("kilowatts|kW", "kilowatt")),
    ("larger", "smaller", ("degrees", "degree"), ("radians", "radian")),
    ("larger", "smaller",
     ("bytes", "byte"), ("bits", "bit"), ("kilobytes", "kilobyte"), ("megabytes", "megabyte")),
)  # fmt: skip


@dataclass(frozen=True)
class _Conversion:
    """A quantity and a unit, each as a question writes it and as the call does, and the adjectives that compare."""

    quantity: str
    target: str
    arguments: Json
    adjectives: tuple[str, str]


def one_quantity(course: Course) -> AnyPart:
    """One quantity in another unit."""
    drawn = _drawn(course)
    what, target = drawn.quantity, drawn.target
    question = course.draw.choice((
        f"how many {target} are {what}", f"how many {target} is {what}", f"what are {what} in {target}",
        f"{what} are how many {target}", f"how much is {what} in {target}", f"how many {target} are there in {what}",
        f"what is {what} converted to {target}", f"how many {target} make {what}", f"how much are {what} in {target}",
        f"the label says {what}. How many {target} is that", f"I have {what}. How many {target} are these",
        f"the manual says {what}. What is that in {target}", f"we measured {what}. What is this in {target}",
    ))  # fmt: skip
    order = course.draw.choice(
        (f"convert {what} to {target}", f"express {what} in {target}", f"turn {what} into {target}")
    )
    fact = f"{what} are {{value}} {target}"
    return OneCall(
        question,
        f"the value of {what} in {target}",
        "convert_unit",
        drawn.arguments,
        fact,
        f"{what} in {target}",
        order,
    )


def which_is_more(course: Course) -> AnyPart:
    """The larger one of two quantities in different units."""
    drawn = _drawn(course)
    converted = course.look_up("convert_unit", drawn.arguments)["value"]
    number = round(converted * course.draw.uniform(0.6, 1.5), course.draw.choice((0, 0, 1)))
    number = int(number) if number == int(number) else number
    one, other = drawn.quantity, f"{number} {drawn.target}"
    more = course.draw.choice(drawn.adjectives)
    question = course.draw.choice((
        f"which is {more}, {one} or {other}", f"what is {more}: {one} or {other}", f"are {one} {more} than {other}",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        result = course.call(f"{one} in {drawn.target}", "convert_unit", drawn.arguments)["value"]
        if result == number:
            raise LookupError("equal")
        winner = one if (result > number) == (more == drawn.adjectives[0]) else other
        return f"{one} are {result} {drawn.target}, so {winner} {'are' if question.startswith('are') else 'is'} {more}"

    return Part(question, f"which of {one} and {other} is {more}", solve)


def sum_of_two(course: Course) -> AnyPart:
    """The sum of two quantities in different units."""
    drawn, number = _drawn(course), course.draw.randrange(2, 90)
    one, other = drawn.quantity, f"{number} {drawn.target}"
    if drawn.adjectives[0] in ("warmer", "faster"):
        raise LookupError("sums of these mean nothing")
    question = course.draw.choice((
        f"how many {drawn.target} are {one} and {other} together",
        f"what is the sum of {one} and {other} in {drawn.target}",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        first = course.call(f"{one} in {drawn.target}", "convert_unit", drawn.arguments)["value"]
        if not 1e-3 < first < 1e9:
            raise LookupError("not a number to add")
        course.note(f"{one} are {first} {drawn.target}")
        total = course.call(f"the sum of {first} and {number}", "statistics", {"values": [first, number]})["sum"]
        return f"{one} and {other} are {total} {drawn.target} together"

    return Part(question, f"the sum of {one} and {other} in {drawn.target}", solve)


def incompatible(course: Course) -> OneCall:
    """A quantity in a unit of another kind."""
    drawn, other = _drawn(course), _drawn(course)
    arguments = drawn.arguments | {"to_unit": other.arguments["to_unit"]}
    noun = f"{drawn.quantity} in {other.target}"
    return OneCall(f"how many {other.target} are {drawn.quantity}", noun, "convert_unit", arguments, "{value}")


def _drawn(course: Course) -> _Conversion:
    draw = course.draw
    more, less, *units = draw.choice(_KINDS)
    (names, given), (targets, target) = draw.sample(units, 2)
    value, spoken = a_number(draw)
    if given in ("celsius", "fahrenheit") and draw.random() < 0.7:
        value = draw.choice((draw.randrange(-80, 300), round(draw.uniform(-40, 120), 1)))
        spoken = f"minus {-value}" if value < 0 and draw.random() < 0.3 else str(value)
    elif draw.random() < 0.04:
        value, spoken = draw.choice(((1.5, "one and a half"), (2.5, "two and a half"), (3.5, "three and a half")))
    arguments = {"value": value, "from_unit": given, "to_unit": target}
    return _Conversion(f"{spoken} {_name(course, names)}", _name(course, targets), arguments, (more, less))


def _name(course: Course, names: str) -> str:
    first, *others = names.split("|")
    return course.draw.choice((first, first, *others))
