"""Questions about dates and holidays."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from examples.practice.course import AnyPart, Course, Json, OneCall, Part
from examples.practice.drawing import (
    COUNTRIES,
    DEMONYMS,
    a_count,
    a_date,
    a_spoken_date,
    spoken_date,
    words_of,
)

# Longer lists of holidays take too many tokens.
_MOST_HOLIDAYS = 14


@dataclass(frozen=True)
class _Holiday:
    """A holiday. `full` names country and year; `spoken` is the wording of the question."""

    name: str
    date: str
    full: str
    spoken: str
    arguments: Json


def weekday(course: Course) -> AnyPart:
    """The weekday or the week of a date."""
    date, written = a_spoken_date(course.draw)
    call, verb = ("weekday_of_date", {"date": date.isoformat()}), course.draw.choice(("is", "is", "was"))
    if course.draw.random() < 0.25:
        noun = f"the ISO week of {written}"
        question = course.draw.choice((
            f"in which ISO week {verb} {written}", f"what ISO week {verb} {written} in", f"what {verb} {noun}",
            f"which calendar week {verb} {written} in",
        ))  # fmt: skip
        return OneCall(question, noun, *call, f"{written} is in ISO week {{iso_week}}")
    question = course.draw.choice((
        f"on which day of the week {verb} {written}", f"what day of the week {verb} {written}",
        f"which weekday {verb} {written}", f"on what weekday does {written} fall", f"which day is {written}",
        f"{written} is what day of the week", f"I was born on {written}. What day of the week was that",
        f"our wedding was on {written}. On which weekday", f"the shop opens on {written}. Which weekday will that be",
    ))  # fmt: skip
    noun = course.draw.choice((f"the weekday of {written}", f"the day of the week of {written}"))
    return OneCall(question, noun, *call, f"{written} is a {{weekday}}")


def later(course: Course) -> AnyPart:
    """The date after or before a span of days, weeks, months or years."""
    date, written = a_spoken_date(course.draw)
    amounts = _amounts(course)
    span = words_of([f"{a_count(course.draw, n)} {unit if n > 1 else unit[:-1]}" for unit, n in amounts.items()])
    before = course.draw.random() < 0.35
    relation, order = ("before", f"subtract {span} from {written}") if before else ("after", f"add {span} to {written}")
    wanted, shown = course.draw.choice((("date", "{date}"),) * 5 + (("weekday", "a {weekday}"),))
    question = course.draw.choice((
        f"which {wanted} is {span} {relation} {written}", f"what {wanted} is {span} {relation} {written}",
        f"what is the {wanted} {span} {relation} {written}", f"what {wanted} will it be {span} {relation} {written}",
        f"what {wanted} do I get when I {order}",
    ))  # fmt: skip
    if not before and wanted == "date" and course.draw.random() < 0.25:
        question = course.draw.choice((
            f"a contract of {written} runs for {span}. When does it end",
            f"my library book is from {written}, and I may have it for {span}. On which date must I return it",
            f"the course begins on {written} and takes {span}. What is the date at its end",
            f"today is {written}. What is the date in {span}",
        ))  # fmt: skip
    return OneCall(
        question,
        f"the {wanted} {span} {relation} {written}",
        "add_to_date",
        {"date": date.isoformat(), **{unit: -number if before else number for unit, number in amounts.items()}},
        f"{span} {relation} {written} is {shown}",
        order=order if wanted == "date" else "",
    )


def apart(course: Course) -> AnyPart:
    """The days or weeks between two dates."""
    first = a_date(course.draw)
    last = first + dt.timedelta(days=course.draw.randrange(2, course.draw.choice((500, 9000))))
    one, other = spoken_date(course.draw, first), spoken_date(course.draw, last)
    unit = course.draw.choice(("days", "days", "days", "weeks"))
    question = course.draw.choice((
        f"how many {unit} are there between {one} and {other}", f"how many {unit} are between {one} and {other}",
        f"how many {unit} is it from {one} to {other}", f"how many {unit} pass from {one} until {other}",
        f"how many {unit} lie between {one} and {other}", f"how many {unit} after {one} is {other}",
        f"I am away from {one} to {other}. How many {unit} is that",
        f"the fair opens on {one} and closes on {other}. How many {unit} lie between",
    ))  # fmt: skip
    return OneCall(
        question,
        f"the number of {unit} from {one} to {other}",
        "days_between",
        {"start": parts_of(first), "end": parts_of(last)},
        f"there are {{{unit}}} {unit} between {one} and {other}",
        order=f"count the {unit} from {one} to {other}",
    )


def how_many_holidays(course: Course) -> AnyPart:
    """The number of a country's holidays."""
    country, year, arguments, _ = _a_calendar(course)
    question = course.draw.choice((
        f"how many public holidays does {country} have in {year}",
        f"how many public holidays are there in {country} in {year}",
        f"how many bank holidays are there in {year} in {country}",
        f"in {year}, how many public holidays does {country} have",
        f"how many days off do the public holidays of {country} give in {year}",
        f"I work in {country}. How many public holidays are there in {year}",
    ))  # fmt: skip
    noun = f"the number of public holidays in {country} in {year}"
    fact = f"{country} has {{count}} public holidays in {year}"
    return OneCall(question, noun, "public_holidays", arguments, fact)


def when_is_holiday(course: Course) -> AnyPart:
    """The date of a holiday."""
    holiday = _a_holiday(course)
    spoken = holiday.spoken
    question = course.draw.choice((
        f"when is {spoken}", f"on which date is {spoken}", f"what is the date of {spoken}", f"what date is {spoken}",
    ))  # fmt: skip
    fact, need = f"{holiday.full} is on {holiday.date}", f"the date of {holiday.full}"
    return OneCall(question, f"the date of {spoken}", "public_holidays", holiday.arguments, fact, need)


def which_holiday(course: Course) -> AnyPart:
    """One holiday by its place in the list."""
    country, year, arguments, listed = _a_calendar(course)
    nth, holiday = course.draw.choice((("first", listed[0]), ("last", listed[-1]), ("second", listed[1 % len(listed)])))
    what = f"the {nth} public holiday"
    question = course.draw.choice((f"what is {what} of {year} in {country}", f"what is {what} in {country} in {year}"))
    fact = f"{what} of {year} in {country} is {holiday['name']} on {holiday['date']}"
    return OneCall(question, f"{what} of {year} in {country}", "public_holidays", arguments, fact)


def holidays_of_month(course: Course) -> AnyPart:
    """The holidays of a month."""
    country, _, arguments, listed = _a_calendar(course)
    month = course.draw.choice(listed)["date"][:7]
    its = [f"{each['name']} on {each['date']}" for each in listed if each["date"].startswith(month)]
    if len(its) > 3:
        raise LookupError("more holidays than an answer should list")
    when = f"{dt.date.fromisoformat(f'{month}-01'):%B %Y}"
    question = course.draw.choice((
        f"which public holidays does {country} have in {when}",
        f"what public holidays are there in {country} in {when}",
    ))  # fmt: skip
    noun = f"the public holidays of {country} in {when}"
    fact = f"in {when} {country} has {words_of(its)}"
    return OneCall(question, noun, "public_holidays", arguments, fact, order=f"list {noun}")


def is_holiday(course: Course) -> AnyPart:
    """Whether a day is a holiday."""
    country, year, arguments, listed = _a_calendar(course)
    days = {each["date"]: each["name"] for each in listed}
    date = course.draw.choice((course.draw.choice(list(days)), a_date(course.draw, year, year).isoformat()))
    written, name = spoken_date(course.draw, dt.date.fromisoformat(date)), days.get(date)
    question = course.draw.choice((
        f"is {written} a public holiday in {country}", f"does {country} have a public holiday on {written}",
    ))  # fmt: skip
    fact = f"no, {written} is no public holiday in {country}"
    if name:
        fact = f"yes, {written} is a public holiday in {country}, {name}"
    noun, need = f"whether {written} is a public holiday in {country}", f"the public holidays of {country} in {year}"
    return OneCall(question, noun, "public_holidays", arguments, fact, need)


def weekday_of_holiday(course: Course) -> AnyPart:
    """The date of a holiday, and its weekday."""
    holiday = _a_holiday(course)
    spoken = holiday.spoken
    question = course.draw.choice((
        f"on which date is {spoken}, and which day of the week is that", f"when is {spoken}, and on what weekday",
        f"which day of the week is {spoken}", f"what date is {spoken}, and what day of the week does it fall on",
        f"on which weekday does {spoken} fall", f"is {spoken} on a weekend",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        date = _date_of(course, holiday)
        day = course.call(f"the weekday of {date}", "weekday_of_date", {"date": date})["weekday"]
        return f"{holiday.full} is on {date}, a {day}"

    return Part(question, f"the date and the weekday of {spoken}", solve)


def moon_of_holiday(course: Course) -> AnyPart:
    """The phase of the moon on a holiday."""
    holiday = _a_holiday(course)
    question = course.draw.choice((
        f"which phase does the moon have on {holiday.spoken}", f"what phase is the moon in on {holiday.spoken}",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        date = _date_of(course, holiday)
        phase = course.call(f"the phase of the moon on {date}", "moon_phase", {"date": date})["phase"]
        return f"on {holiday.full}, {date}, the phase of the moon is {phase}"

    return Part(question, f"the phase of the moon on {holiday.spoken}", solve)


def days_to_holiday(course: Course) -> AnyPart:
    """The days from a date to a holiday."""
    holiday = _a_holiday(course)
    end = dt.date.fromisoformat(holiday.date)
    start = end - dt.timedelta(days=course.draw.randrange(3, 300))
    written = spoken_date(course.draw, start)
    question = course.draw.choice((
        f"how many days is it from {written} to {holiday.spoken}", f"how many days after {written} is {holiday.spoken}",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        date = _date_of(course, holiday)
        span = {"start": parts_of(start), "end": parts_of(end)}
        days = course.call(f"the number of days from {written} to {date}", "days_between", span)["days"]
        return f"there are {days} days from {written} to {holiday.full} on {date}"

    return Part(question, f"the number of days from {written} to {holiday.spoken}", solve)


def hours_apart(course: Course) -> AnyPart:
    """The time between two dates in another unit."""
    first = a_date(course.draw)
    last = first + dt.timedelta(days=course.draw.randrange(2, 900))
    one, other = spoken_date(course.draw, first), spoken_date(course.draw, last)
    unit = course.draw.choice(("hour", "minute"))

    def solve(course: Course) -> str:
        span = {"start": parts_of(first), "end": parts_of(last)}
        days = course.call(f"the number of days from {one} to {other}", "days_between", span)["days"]
        course.note(f"there are {days} days")
        conversion = {"value": days, "from_unit": "day", "to_unit": unit}
        many = course.call(f"{days} days in {unit}s", "convert_unit", conversion)["value"]
        return f"there are {many} {unit}s between {one} and {other}"

    noun = f"the number of {unit}s from {one} to {other}"
    return Part(f"how many {unit}s are there between {one} and {other}", noun, solve)


def moon_after_span(course: Course) -> AnyPart:
    """The phase of the moon after a span."""
    date, written = a_spoken_date(course.draw)
    unit, many = course.draw.choice((("days", course.draw.randrange(5, 300)), ("weeks", course.draw.randrange(2, 30))))
    span = f"{many} {unit} after {written}"
    question = course.draw.choice((
        f"which phase does the moon have {span}", f"what date is {span}, and what phase is the moon in then",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        there = course.call(f"the date {span}", "add_to_date", {"date": date.isoformat(), unit: many})["date"]
        course.note(f"{span} is {there}")
        phase = course.call(f"the phase of the moon on {there}", "moon_phase", {"date": there})["phase"]
        return f"{span} is {there}, and the phase of the moon is {phase}"

    return Part(question, f"the phase of the moon {span}", solve)


def which_has_more(course: Course) -> AnyPart:
    """The country with more holidays."""
    one, year, _, _ = _a_calendar(course)
    other = course.draw.choice([country for country in COUNTRIES if country != one])
    question = course.draw.choice((
        f"which country has more public holidays in {year}, {one} or {other}",
        f"does {one} or {other} have more public holidays in {year}",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        needs = [f"the number of public holidays in {country} in {year}" for country in (one, other)]
        arguments = [{"country": country, "year": year} for country in (one, other)]
        first, second = course.pair(needs, "public_holidays", arguments, "count")
        if second > _MOST_HOLIDAYS:
            raise LookupError("too many holidays")
        verdict = "both have as many" if first == second else f"{one if first > second else other} has more"
        return f"{one} has {first} public holidays in {year} and {other} has {second}, so {verdict}"

    return Part(question, f"which of {one} and {other} has more public holidays in {year}", solve)


def parts_of(date: dt.date) -> dict[str, int]:
    """A date as `days_between` takes it."""
    return {"year": date.year, "month": date.month, "day": date.day}


def _amounts(course: Course) -> dict[str, int]:
    most = {"days": 400, "weeks": 60, "months": 40, "years": 30}
    units = course.draw.choice((
        ("days",), ("days",), ("weeks",), ("weeks",), ("months",), ("months",), ("years",), ("weeks", "days"),
        ("months", "days"), ("years", "months"),
    ))  # fmt: skip
    high = 12 if len(units) > 1 or course.draw.random() < 0.3 else most[units[0]]
    return {unit: course.draw.randrange(1, high) for unit in units}


def _date_of(course: Course, holiday: _Holiday) -> str:
    course.call(f"the date of {holiday.full}", "public_holidays", holiday.arguments)
    course.note(f"{holiday.name} is on {holiday.date}")
    return holiday.date


def _a_holiday(course: Course) -> _Holiday:
    adjective_of = course.draw.choice(sorted(DEMONYMS)) if course.draw.random() < 0.3 else None
    country, year, arguments, listed = _a_calendar(course, adjective_of)
    names = [each["name"] for each in listed]
    holiday = course.draw.choice([each for each in listed if names.count(each["name"]) == 1])
    name, full = holiday["name"], f"{holiday['name']} in {country} in {year}"
    spoken = course.draw.choice((full, full, f"{name} {year} in {country}"))
    if adjective_of:
        adjective = DEMONYMS[adjective_of]
        spoken = f"{name if adjective in name else f'the {adjective} {name}'} in {year}"
    return _Holiday(name, holiday["date"], full, spoken, arguments)


def _a_calendar(course: Course, country: str | None = None) -> tuple[str, int, Json, list[dict[str, Any]]]:
    country, year = country or course.draw.choice(COUNTRIES), course.draw.randrange(2015, 2034)
    arguments = {"country": country, "year": year}
    listed = course.look_up("public_holidays", arguments)["holidays"]
    if len(listed) > _MOST_HOLIDAYS:
        raise LookupError("too many holidays")
    return country, year, arguments, listed
