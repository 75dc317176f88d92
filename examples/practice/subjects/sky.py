"""Questions about sun and moon."""

from __future__ import annotations

import re

from examples.practice.course import AnyPart, Course, Json, OneCall, Part
from examples.practice.drawing import CITIES, a_date, a_spoken_date, spoken_date


def sunrise_or_sunset(course: Course) -> AnyPart:
    """The time of sunrise, of sunset, or of both."""
    city, (date, written) = course.draw.choice(CITIES), a_spoken_date(course.draw)
    what, twelve = course.draw.choice(("rise", "set")), course.draw.random() < 0.35
    clock = course.draw.choice((" on a 12-hour clock", " in 12-hour format", " with AM or PM")) if twelve else ""
    arguments = _arguments(city, date.isoformat()) | ({"X-Clock": "12h"} if twelve else {})
    if course.draw.random() < 0.2:
        question = course.draw.choice((
            f"we hike near {city} on {written}. When does the sun rise, and when does it set{clock}",
            f"when do sunrise and sunset happen in {city} on {written}{clock}",
            f"at what times does the sun rise and set in {city} on {written}{clock}",
        ))  # fmt: skip
        noun = f"the times of sunrise and sunset in {city} on {written}{clock}"
        fact = f"the sun rises in {city} at {{sunrise}} and sets at {{sunset}} on {written}"
        return OneCall(question, noun, "sun_times", arguments, fact)
    question = course.draw.choice((
        f"when does the sun {what} in {city} on {written}{clock}",
        f"at what time{clock} does the sun {what} in {city} on {written}",
        f"what time is sun{what} in {city} on {written}{clock}", f"when is sun{what} on {written} in {city}{clock}",
        f"at what time is sun{what}{clock} in {city} on {written}",
        f"on {written}, when does the sun {'come up' if what == 'rise' else 'go down'} in {city}{clock}",
        f"I am in {city} on {written}. At what time is sun{what}{clock}",
        f"I need sun{what} for a photo in {city} on {written}. What time is it{clock}",
    ))  # fmt: skip
    fact = f"the sun {what}s in {city} at {{sun{what}}} on {written}"
    return OneCall(question, f"the time of sun{what} in {city} on {written}{clock}", "sun_times", arguments, fact)


def day_length(course: Course) -> AnyPart:
    """The length of a day."""
    city, (date, written) = course.draw.choice(CITIES), a_spoken_date(course.draw)
    question = course.draw.choice((
        f"how long is the day in {city} on {written}", f"how many hours of daylight does {city} have on {written}",
        f"how much daylight is there in {city} on {written}", f"how long is it light in {city} on {written}",
        f"how much time passes between sunrise and sunset in {city} on {written}",
    ))  # fmt: skip
    noun, fact = f"the length of the day in {city} on {written}", f"the day in {city} on {written} lasts {{day_length}}"
    return OneCall(question, noun, "sun_times", _arguments(city, date.isoformat()), fact)


def moon(course: Course) -> AnyPart:
    """The phase of the moon, or its age."""
    date, written = a_spoken_date(course.draw)
    call = ("moon_phase", {"date": date.isoformat()})
    if course.draw.random() < 0.2:
        question = course.draw.choice((
            f"how old is the moon on {written}", f"what age does the moon have on {written}",
            f"what is the moon's age on {written}",
        ))  # fmt: skip
        return OneCall(
            question, f"the age of the moon on {written}", *call, f"the age of the moon on {written} is {{age}}"
        )
    question = course.draw.choice((
        f"what phase is the moon in on {written}", f"what is the phase of the moon on {written}",
        f"how does the moon look on {written}", f"which moon phase is it on {written}",
        f"what moon will there be on {written}", f"we look at the stars on {written}. In which phase is the moon",
    ))  # fmt: skip
    noun = f"the phase of the moon on {written}"
    return OneCall(question, noun, *call, f"on {written} the phase of the moon is {{phase}}")


def two_days(course: Course) -> AnyPart:
    """The length of the day in two cities, or of two days in one city, and which one is longer."""
    one, other = course.draw.sample(CITIES, 2)
    dates = [a_date(course.draw), a_date(course.draw)]
    if course.draw.random() < 0.7:
        dates[1], cities, where = dates[0], (one, other), f" on {spoken_date(course.draw, dates[0])}"
        first, second = f"in {one}", f"in {other}"
    else:
        cities, where = (one, one), f" in {one}"
        first, second = (f"on {spoken_date(course.draw, date)}" for date in dates)
    compares, question = course.draw.choice((
        (False, f"how long is the day {first} and {second}{where}"),
        (False, f"how long is the day {first} and how long is it {second}{where}"),
        (False, f"how many hours of daylight are there {first} and {second}{where}"),
        (True, f"is the day longer {first} or {second}{where}"),
        (True, f"is there more daylight {first} or {second}{where}"),
        (True, f"which day is longer, the one {first} or the one {second}{where}"),
    ))  # fmt: skip

    def solve(course: Course) -> str:
        needs = [f"the length of the day {name}{where}" for name in (first, second)]
        arguments = [_arguments(city, date.isoformat()) for city, date in zip(cities, dates, strict=True)]
        one, other = course.pair(needs, "sun_times", arguments, "day_length")
        fact = f"the day lasts {one} {first} and {other} {second}{where}"
        before, after = _minutes(one), _minutes(other)
        verdict = "both are equal" if before == after else f"it is longer {first if before > after else second}"
        return f"{fact}, so {verdict}" if compares else fact

    noun = f"the length of the day {first} and {second}{where}"
    return Part(question, noun, solve, f"compare the length of the day {first} and {second}{where}" if compares else "")


def which_sun_is_earlier(course: Course) -> AnyPart:
    """The city with the earlier sunrise or sunset by its own clock."""
    (one, other), (date, written) = course.draw.sample(CITIES, 2), a_spoken_date(course.draw)
    what, relation = course.draw.choice(("rise", "set")), course.draw.choice(("earlier", "later"))
    question = course.draw.choice((
        f"where does the sun {what} {relation} by the local clock on {written}, in {one} or in {other}",
        f"on {written}, is sun{what} {relation} in {one} or in {other} by local time",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        needs = [f"the time of sun{what} in {city} on {written}" for city in (one, other)]
        arguments = [_arguments(city, date.isoformat()) for city in (one, other)]
        first, second = course.pair(needs, "sun_times", arguments, f"sun{what}")
        if first == second or len(first) != len(second):
            raise LookupError("no difference, or on the next day")
        winner = one if (first < second) == (relation == "earlier") else other
        return f"sun{what} is at {first} in {one} and at {second} in {other}, so it is {relation} in {winner}"

    return Part(question, f"whether sun{what} is {relation} in {one} or in {other} on {written}", solve)


def sun_elsewhere(course: Course) -> AnyPart:
    """What a clock elsewhere shows at sunrise or sunset."""
    (one, other), date = course.draw.sample(CITIES, 2), a_date(course.draw)
    written, what = spoken_date(course.draw, date), course.draw.choice(("rise", "set"))
    question = course.draw.choice((
        f"when the sun {what}s in {one} on {written}, what time is it in {other}",
        f"what time is it in {other} at sun{what} in {one} on {written}",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        need = f"the time of sun{what} in {one} on {written}"
        time = _clock(course.call(need, "sun_times", _arguments(one, date.isoformat())), what)
        course.note(f"the sun {what}s in {one} at {time}")
        arguments = {"time": f"{date}T{time}", "from_zone": one, "to_zone": other}
        there = course.call(f"the time in {other} when it is {time} in {one}", "convert_time", arguments)["time"]
        return f"the sun {what}s in {one} at {time} on {written}, when it is {there} in {other}"

    return Part(question, f"the time in {other} at sun{what} in {one} on {written}", solve)


def _arguments(city: str, date: str) -> Json:
    return {"city": city, "date": date}


def _clock(result: Json, what: str) -> str:
    time = str(result[f"sun{what}"])
    if len(time) > len("HH:MM"):
        raise LookupError("on the next day")
    return time


def _minutes(length: str) -> int:
    hours, minutes = map(int, re.findall(r"\d+", length))
    return 60 * hours + minutes
