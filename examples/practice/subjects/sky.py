"""Questions about sun and moon."""

from __future__ import annotations

import datetime as dt
from typing import Any

from examples.practice.course import Course, Question
from examples.practice.drawing import CITIES, a_date, spoken_date


def sunrise_or_sunset(course: Course) -> Question:
    """The time of sunrise or sunset."""
    city, date, what = course.draw.choice(CITIES), a_date(course.draw), course.draw.choice(("rise", "set"))
    written = spoken_date(course.draw, date)
    twelve = course.draw.random() < 0.4
    instruction = course.draw.choice((
        f"When does the sun {what} in {city} on {written}?",
        f"At what time does the sun {what} in {city} on {written}?",
        f"What time is sun{what} in {city} on {written}?",
    ))  # fmt: skip
    if twelve:
        instruction = course.draw.choice((
            f"At what time on a 12-hour clock does the sun {what} in {city} on {written}?",
            f"When does the sun {what} in {city} on {written}? Use a 12-hour clock.",
        ))  # fmt: skip
    time = _sun(course, city, date, twelve=twelve)[f"sun{what}"]
    if time is None:
        raise LookupError("the sun is up or down all day")
    return Question(
        instruction,
        f"The sun {what}s at {time}. I can answer now.",
        f"The sun {what}s in {city} at {time} on {written}.",
    )


def day_length(course: Course) -> Question:
    """The length of a day."""
    city, date = course.draw.choice(CITIES), a_date(course.draw)
    written = spoken_date(course.draw, date)
    instruction = course.draw.choice((
        f"How long is the day in {city} on {written}?", f"How many hours of daylight does {city} have on {written}?",
    ))  # fmt: skip
    length = _sun(course, city, date)["day_length"]
    return Question(
        instruction, f"The day lasts {length}. I can answer now.", f"The day in {city} on {written} lasts {length}."
    )


def two_days(course: Course) -> Question:
    """The length of a day in two cities."""
    one, other = course.draw.sample(CITIES, 2)
    date = a_date(course.draw)
    written = spoken_date(course.draw, date)
    instruction = course.draw.choice((
        f"How long is the day in {one} and in {other} on {written}?",
        f"How long is the day on {written} in {one} and in {other}?",
        f"Compare the length of the day in {one} and in {other} on {written}.",
    ))  # fmt: skip
    first = _sun(course, one, date)["day_length"]
    thought = f"In {one} the day lasts {first}. Now I need the sun times of {other} on {date}. I call sun_times."
    second = _sun(course, other, date, thought=thought)["day_length"]
    return Question(
        instruction,
        f"In {one} the day lasts {first}, in {other} {second}. I can answer now.",
        f"On {written} the day lasts {first} in {one} and {second} in {other}.",
    )


def moon(course: Course) -> Question:
    """The phase of the moon."""
    date = a_date(course.draw)
    written = spoken_date(course.draw, date)
    instruction = course.draw.choice((
        f"What phase is the moon in on {written}?", f"What is the phase of the moon on {written}?",
        f"How does the moon look on {written}?",
    ))  # fmt: skip
    thought = f"I need the phase of the moon on {date}. I call moon_phase."
    phase = course.call(thought, "moon_phase", {"date": date.isoformat()})["phase"]
    return Question(instruction, f"The phase is {phase}. I can answer now.", f"On {written} the moon is: {phase}.")


def _sun(course: Course, city: str, date: dt.date, *, twelve: bool = False, thought: str = "") -> dict[str, Any]:
    clock = " with a 12h clock" if twelve else ""
    result = course.call(
        thought or f"I need the sun times of {city} on {date}{clock}. I call sun_times.",
        "sun_times",
        {"city": city, "date": date.isoformat()} | ({"X-Clock": "12h"} if twelve else {}),
    )
    if not result:
        raise LookupError(city)
    return result
