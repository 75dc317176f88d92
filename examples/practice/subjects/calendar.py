"""Questions about dates and holidays."""

from __future__ import annotations

import datetime as dt
from typing import Any

from examples.practice.course import Course, Question
from examples.practice.drawing import COUNTRIES, a_date, spoken_date


def weekday(course: Course) -> Question:
    """The weekday of a date."""
    date = a_date(course.draw)
    written = spoken_date(course.draw, date)
    instruction = course.draw.choice((
        f"On which day of the week is {written}?", f"What day of the week is {written}?",
        f"Which weekday is {written}?",
    ))  # fmt: skip
    result = course.call(f"I need the weekday of {date}. I call weekday_of_date.", "weekday_of_date", _date(date))
    day = result["weekday"]
    return Question(instruction, f"{date} is a {day}. I can answer now.", f"{written} is a {day}.")


def later(course: Course) -> Question:
    """The date after a span of days, weeks, months or years."""
    date, unit = a_date(course.draw), course.draw.choice(("days", "days", "weeks", "months", "months", "years"))
    many = course.draw.randrange(1, {"days": 200, "weeks": 30, "months": 20, "years": 12}[unit])
    written, span = spoken_date(course.draw, date), f"{many} {unit if many > 1 else unit[:-1]}"
    instruction, signed = course.draw.choice((
        (f"Which date is {span} after {written}?", many), (f"What date is {span} after {written}?", many),
        (f"What is the date {span} from {written}?", many), (f"Which date was {span} before {written}?", -many),
    ))  # fmt: skip
    result = course.call(
        f"I add {signed} {unit} to {date} with add_to_date.", "add_to_date", {"date": date.isoformat(), unit: signed}
    )
    relation = "after" if signed > 0 else "before"
    there = result["date"]
    return Question(instruction, f"The date is {there}. I can answer now.", f"{span} {relation} {written} is {there}.")


def apart(course: Course) -> Question:
    """The days between two dates."""
    first = a_date(course.draw)
    last = first + dt.timedelta(days=course.draw.randrange(2, 500))
    one, other = spoken_date(course.draw, first), spoken_date(course.draw, last)
    instruction = course.draw.choice((
        f"How many days are there between {one} and {other}?", f"How many days are between {one} and {other}?",
        f"How many days is it from {one} to {other}?",
    ))  # fmt: skip
    result = course.call(
        f"I count the days from {first} to {last} with days_between.",
        "days_between",
        {"start": _parts(first), "end": _parts(last)},
    )
    days = result["days"]
    return Question(
        instruction, f"There are {days} days. I can answer now.", f"There are {days} days between {one} and {other}."
    )


def how_many_holidays(course: Course) -> Question:
    """The number of a country's holidays."""
    country, year = course.draw.choice(COUNTRIES), course.draw.randrange(2024, 2031)
    instruction = course.draw.choice((
        f"How many public holidays does {country} have in {year}?",
        f"How many public holidays are there in {country} in {year}?",
        f"What is the number of public holidays in {country} in {year}?",
    ))  # fmt: skip
    count = _holidays(course, country, year)["count"]
    return Question(
        instruction,
        f"{country} has {count} public holidays in {year}. I can answer now.",
        f"{country} has {count} public holidays in {year}.",
    )


def when_is_holiday(course: Course) -> Question:
    """The date of a holiday."""
    country, year, holiday = _a_holiday(course)
    instruction = course.draw.choice((
        f"When is {holiday['name']} in {country} in {year}?",
        f"On which date is {holiday['name']} in {country} in {year}?",
    ))  # fmt: skip
    _holidays(course, country, year)
    return Question(
        instruction,
        f"{holiday['name']} is on {holiday['date']}. I can answer now.",
        f"{holiday['name']} in {country} is on {holiday['date']}.",
    )


def weekday_of_holiday(course: Course) -> Question:
    """The date of a holiday, and its weekday."""
    country, year, holiday = _a_holiday(course)
    name, date = holiday["name"], holiday["date"]
    instruction = course.draw.choice((
        f"On which date is {name} in {country} in {year}, and which day of the week is that?",
        f"When is {name} in {country} in {year}, and on what weekday?",
        f"Which day of the week is {name} in {country} in {year}? Give the date, too.",
    ))  # fmt: skip
    _holidays(course, country, year)
    thought = f"{name} is on {date}. Now I need the weekday of {date}. I call weekday_of_date."
    day = course.call(thought, "weekday_of_date", {"date": date})["weekday"]
    return Question(instruction, f"{date} is a {day}. I can answer now.", f"{name} in {country} is on {date}, a {day}.")


def _a_holiday(course: Course) -> tuple[str, int, dict[str, str]]:
    country, year = course.draw.choice(COUNTRIES), course.draw.randrange(2024, 2031)
    listed = course.look_up("public_holidays", {"country": country, "year": year})["holidays"]
    return country, year, course.draw.choice(listed)


def _holidays(course: Course, country: str, year: int) -> dict[str, Any]:
    thought = f"I need the public holidays of {country} in {year}. I call public_holidays."
    result = course.call(thought, "public_holidays", {"country": country, "year": year})
    if not result:
        raise LookupError(country)
    return result


def _date(date: dt.date) -> dict[str, str]:
    return {"date": date.isoformat()}


def _parts(date: dt.date) -> dict[str, int]:
    return {"year": date.year, "month": date.month, "day": date.day}
