"""Kinds of questions: one part, several parts, tools that fail, and wishes that no tool can meet."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Final

from examples.practice.course import (
    DONE,
    SECOND_MISSING,
    TWO_PARTS,
    AnyPart,
    Call,
    Course,
    Kind,
    Maker,
    OneCall,
    Question,
    sentence,
)
from examples.practice.drawing import (
    CITIES,
    COUNTRIES,
    OTHERWISE_CALLED,
    UNKNOWN_CITIES,
    a_date,
    a_misspelling,
    spoken_date,
)
from examples.practice.subjects import calendar, clocks, numbers, places, sky, units
from examples.practice.wording import capital, dressed, instruct

# Parts by the relative frequency of each: those that one call answers, and those with a further call or a comparison.
ONE_CALL: Final[Mapping[Maker, int]] = {
    calendar.weekday: 6, calendar.later: 8, calendar.apart: 6, calendar.how_many_holidays: 4,
    calendar.when_is_holiday: 4, calendar.which_holiday: 2, calendar.holidays_of_month: 2, calendar.is_holiday: 2,
    sky.sunrise_or_sunset: 8, sky.day_length: 4, sky.moon: 5, clocks.elsewhere: 8, clocks.now: 6,
    units.one_quantity: 12, places.country: 6, places.currency: 4, places.code_of_currency: 2, places.language: 5,
    places.name_of_code: 3, numbers.statistics: 8, numbers.text: 6,
}  # fmt: skip
COMPOSED: Final[Mapping[Maker, int]] = {
    calendar.weekday_of_holiday: 6, calendar.moon_of_holiday: 2, calendar.days_to_holiday: 2, calendar.hours_apart: 2,
    calendar.moon_after_span: 2, calendar.which_has_more: 2, sky.two_days: 6, sky.which_sun_is_earlier: 2,
    sky.sun_elsewhere: 2, clocks.today: 5, clocks.difference: 2, units.which_is_more: 4, units.sum_of_two: 2,
    places.same_of_two: 4, numbers.which_list: 2, numbers.which_text: 2,
}  # fmt: skip
_CITY_ARGUMENTS: Final = ("city", "zone", "from_zone", "to_zone")
_NO_TOOL: Final = "None of the tools can do this. I give up."
# By the number of parts: the beginning of the first rationale, and that of each further one.
_PARTS: Final = {
    2: (TWO_PARTS, SECOND_MISSING),
    3: ("the question has three parts", "two parts are missing", "the third part is missing"),
}


def one(course: Course) -> Question:
    """A question that one call answers."""
    return _several(course, _part(course, ONE_CALL))


def chain(course: Course) -> Question:
    """A question that takes several calls: a later one needs an observation, or two are compared."""
    return _several(course, _part(course, COMPOSED))


def two(course: Course) -> Question:
    """Two parts in one instruction, often of the same kind."""
    maker = _maker(course, ONE_CALL)
    second = maker if course.draw.random() < 0.4 else _maker(course, ONE_CALL)
    return _several(course, maker(course), second(course))


def three(course: Course) -> Question:
    """Three parts of one kind."""
    maker = _maker(course, ONE_CALL)
    return _several(course, maker(course), maker(course), maker(course))


def otherwise_called(course: Course) -> Question:
    """A country by a name that the tool does not know, and for which it suggests another one."""
    part = _one_call(course, {places.country: 1, calendar.how_many_holidays: 1})
    wrong, name = course.draw.choice(sorted(OTHERWISE_CALLED.items()))
    return _with_suggestion(course, _renamed(part, "country", part.arguments["country"], name), "country", wrong)


def misspelled(course: Course) -> Question:
    """A misspelled name, for which the tool suggests the right one."""
    part = _one_call(course)
    argument, name = _name_in(course, part)
    return _with_suggestion(course, part, argument, a_misspelling(course.draw, name))


def unknown(course: Course) -> Question:
    """A name that the tool does not know, nor one like it."""
    part = _one_call(course)
    argument, name = _name_in(course, part)
    strange = course.draw.choice(
        sorted(UNKNOWN_CITIES) if argument in _CITY_ARGUMENTS else ("Atlantis", "Narnia", "Ruritania", "Klingon")
    )
    changed = _renamed(part, argument, name, strange)
    failed = _failed(course, changed)
    if not argument.endswith("zone"):
        return _without_answer(course, changed, failed)
    near = UNKNOWN_CITIES[strange]
    course.note(f"the tool does not know {strange}, which has the time of {near}")
    result = course.call(changed.wanted, part.tool, part.arguments | {argument: near})
    return _question(instruct(course.draw, changed), changed.fact.format(**result))


def not_possible(course: Course) -> Question:
    """A question without an answer, as the tool says."""
    part = course.draw.choice((units.incompatible, units.incompatible, _no_such_day, _far_away))(course)
    return _without_answer(course, part, _failed(course, part))


def tool_fails(course: Course) -> Question:
    """A tool that fails once or for good."""
    part, for_good = _one_call(course), course.draw.random() < 0.5
    course.look_up(part.tool, part.arguments)
    course.api.fail(course.draw.choice(("error_5xx", "error_5xx", "error_4xx", "not_json")), 2 if for_good else 1)
    _failed(course, part)
    course.note("the tool failed. I try it once more")
    if not for_good:
        return _question(instruct(course.draw, part), part.solve(course))
    why = f"the tool {part.tool} failed twice: {_reason(_failed(course, part))}"
    answer = f"I cannot tell {part.noun}, because {why}."
    return Question(instruct(course.draw, part), "The tool failed twice. I say so.", answer)


def half_possible(course: Course) -> Question:
    """Two parts, of which no tool can meet the second one."""
    part, city = _part(course, ONE_CALL), course.draw.choice(CITIES)
    wish, noun = (text.format(city=city) for text in course.draw.choice(_HALVES))
    course.note(TWO_PARTS)
    answer = f"{sentence(part.solve(course))} I have no tool for {noun}."
    thought = f"I have no tool for {noun}. {DONE}"
    return Question(dressed(course.draw, capital(f"{part.question}, and {wish}?")), thought, answer)


def impossible(course: Course) -> Question:
    """A wish that no tool can meet, near the tools or far from them."""
    wish = course.draw.choice(_WISHES).format(
        city=course.draw.choice(CITIES),
        other=course.draw.choice(CITIES),
        country=course.draw.choice(COUNTRIES),
        date=spoken_date(course.draw, a_date(course.draw)),
        number=course.draw.randrange(2, 900),
    )
    return Question(dressed(course.draw, wish), _NO_TOOL, None)


def without_tool(course: Course) -> Question:
    """A question whose tool is not on offer."""
    part = _one_call(course)
    return Question(instruct(course.draw, part), _NO_TOOL, None, lacks=part.tool)


# In percent.
KINDS: Final[Mapping[Kind, int]] = {
    one: 42, chain: 16, two: 18, three: 1, otherwise_called: 2, misspelled: 3, unknown: 3, not_possible: 3,
    tool_fails: 4, half_possible: 2, impossible: 4, without_tool: 2,
}  # fmt: skip


def _several(course: Course, *parts: AnyPart) -> Question:
    facts = []
    for part, note in zip(parts, _PARTS.get(len(parts), (None,)), strict=True):
        course.note(*([note] if note else ()))
        facts.append(part.solve(course))
    return _question(instruct(course.draw, *parts), *facts)


def _question(instruction: str, *facts: str) -> Question:
    return Question(instruction, DONE, " ".join(map(sentence, facts)))


def _with_suggestion(course: Course, part: OneCall, argument: str, wrong: str) -> Question:
    """The part with a wrong name, for which the tool must suggest the name of the part."""
    name = part.arguments[argument]
    changed = _renamed(part, argument, name, wrong)
    if f"did you mean {name}" not in _failed(course, changed).observation:
        raise LookupError("not suggested")
    course.note(f"the tool does not know {wrong} and suggests {name}")
    return _question(instruct(course.draw, changed), part.solve(course))


def _without_answer(course: Course, part: OneCall, failed: Call) -> Question:
    why = _reason(failed)
    answer = f"I cannot tell {part.noun}, because the tool says: {why}."
    return Question(instruct(course.draw, part), "The tool has no answer. I say so.", answer)


def _failed(course: Course, part: OneCall) -> Call:
    call = course.attempt(part.wanted, part.tool, part.arguments)
    if not call.is_error:
        raise LookupError("there is an answer")
    return call


def _reason(call: Call) -> str:
    """Why a call failed, in the words of the tool."""
    head, _, body = call.observation.partition(": ")
    if head.startswith(("HTTP 404", "HTTP 422")):
        return str(json.loads(body)["detail"]).partition("; did you mean")[0]
    return head if head.endswith("from the tool") else "its answer is not JSON"


def _maker(course: Course, makers: Mapping[Maker, int]) -> Maker:
    return course.draw.choices(list(makers), list(makers.values()))[0]


def _part(course: Course, makers: Mapping[Maker, int]) -> AnyPart:
    return _maker(course, makers)(course)


def _one_call(course: Course, makers: Mapping[Maker, int] = ONE_CALL) -> OneCall:
    part = _part(course, makers)
    assert isinstance(part, OneCall)  # noqa: S101 - all makers of these tables make one
    return part


def _name_in(course: Course, part: OneCall) -> tuple[str, str]:
    """An argument that is a name of some letters, and the name."""
    arguments = ("country", "language", *_CITY_ARGUMENTS)
    names = [(argument, part.arguments[argument]) for argument in arguments if argument in part.arguments]
    fitting = [(argument, name) for argument, name in names if name.isalpha() and len(name) > 4]
    if not fitting:
        raise LookupError("no name")
    return course.draw.choice(fitting)


def _renamed(part: OneCall, argument: str, name: str, other: str) -> OneCall:
    """The part with another name in all its texts. Raises `LookupError` if the question has another form of it."""
    if name not in part.question:
        raise LookupError("an adjective")
    texts = {
        field: getattr(part, field).replace(name, other) for field in ("question", "noun", "fact", "need", "order")
    }
    return dataclasses.replace(part, arguments=part.arguments | {argument: other}, **texts)


def _no_such_day(course: Course) -> OneCall:
    month, name, day = course.draw.choice((
        (2, "February", 30), (4, "April", 31), (6, "June", 31), (9, "September", 31), (11, "November", 31),
    ))  # fmt: skip
    year = course.draw.randrange(2020, 2036)
    written = course.draw.choice((f"{day} {name} {year}", f"{name} {day}, {year}"))
    what, tool = course.draw.choice((("the weekday of", "weekday_of_date"), ("the phase of the moon on", "moon_phase")))
    noun, arguments = f"{what} {written}", {"date": f"{year}-{month:02}-{day}"}
    return OneCall(f"what is {noun}", noun, tool, arguments, "")


def _far_away(course: Course) -> OneCall:
    year = course.draw.choice((course.draw.randrange(2101, 2400), course.draw.randrange(1600, 1900)))
    date = a_date(course.draw).replace(day=course.draw.randrange(1, 28), year=year)
    written, city = spoken_date(course.draw, date), course.draw.choice(CITIES)
    question, noun = f"when does the sun rise in {city} on {written}", f"the time of sunrise in {city} on {written}"
    return OneCall(question, noun, "sun_times", {"city": city, "date": date.isoformat()}, "")


# Second halves of questions, and what they want.
_HALVES: Final = (
    ("what will the weather be in {city}", "the weather in {city}"),
    ("who is the mayor of {city}", "the mayor of {city}"),
    ("what does a hotel in {city} cost", "the price of a hotel in {city}"),
    ("how far is {city}", "the distance to {city}"),
    ("how many people live in {city}", "the population of {city}"),
    ("is it raining in {city}", "the rain in {city}"),
    ("what does a flight to {city} cost", "the price of a flight to {city}"),
    ("what is in the news from {city}", "the news from {city}"),
    ("where do I eat well in {city}", "restaurants in {city}"),
)
_WISHES: Final = (
    "What is the weather in {city} on {date}?", "Will it rain in {city} tomorrow?", "How warm is it in {city} now?",
    "How far is it from {city} to {other}?", "Book a flight from {city} to {other} on {date}.",
    "Which trains run from {city} to {other}?", "Book a table for two in {city} on {date}.", "Find a hotel in {city}.",
    "What is the capital of {country}?", "How many people live in {country}?", "Who is the president of {country}?",
    "What is the population of {city}?", "How many euros are {number} dollars today?", "Change {number} yen to pounds.",
    "What is the exchange rate of the Swiss franc?", "Send an email to my landlord.", "Order a pizza with mushrooms.",
    "Who won the match last night?", "Play some quiet music.", "Translate 'good morning' into Finnish.",
    "Remind me on {date} to water the plants.", "Draw a picture of a lighthouse.", "Call my sister.",
    "Which film should I watch tonight?", "How much is one share of a steel maker?", "What is in the news today?",
    "Show me the fastest way to the airport in {city}.", "Buy {number} stamps.", "Set an alarm for 7 am.",
    "What is the best restaurant in {city}?", "What does a litre of milk cost in {country}?",
    "Write to the office in {city}.", "Show me photos of {city}.", "Who wrote the anthem of {country}?",
    "How high is the highest mountain of {country}?", "Turn off the lights.", "Delete my last message.",
    "Which language do people speak in {country}?", "How do I get a visa for {country}?",
    "Recommend a book about {country}.", "How long is the flight from {city} to {other}?",
    "What is the phone number of the embassy of {country} in {city}?", "Who is the oldest person in {country}?",
    "When was {city} built?", "How deep is the harbour of {city}?", "How is the traffic in {city} now?",
)  # fmt: skip
