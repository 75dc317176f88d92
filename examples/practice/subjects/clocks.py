"""Questions about time zones and about today, whose date only a tool knows."""

from __future__ import annotations

import datetime as dt

from examples.practice.course import AnyPart, Course, OneCall, Part
from examples.practice.drawing import CITIES, a_clock, a_count, a_spoken_date
from examples.practice.subjects.calendar import parts_of

_ZONES = (
    "Europe/Paris", "Europe/Lisbon", "Europe/Athens", "America/Chicago", "America/Bogota", "Africa/Cairo", "Asia/Tokyo",
    "Asia/Dubai", "Australia/Perth", "Pacific/Auckland", "UTC", "America/Halifax", "Asia/Jakarta",
)  # fmt: skip


def elsewhere(course: Course) -> AnyPart:
    """The time in another city."""
    one, other = course.draw.sample((*CITIES, *_ZONES), 2)
    (date, written), (clock, spoken) = a_spoken_date(course.draw), a_clock(course.draw)
    question = course.draw.choice((
        f"it is {spoken} in {one} on {written}. What time is it in {other}",
        f"it is {spoken} in {one} on {written}. What time is it in {other}",
        f"when it is {spoken} on {written} in {one}, what time is it in {other}",
        f"what time is it in {other} when it is {spoken} in {one} on {written}",
        f"if my meeting in {one} is at {spoken} on {written}, what time is that in {other}",
        f"what does a clock in {other} show at {spoken} {one} time on {written}",
        f"a call starts at {spoken} in {one} on {written}. When is that in {other}",
        f"the match in {one} starts at {spoken} on {written}. At what time do I watch it in {other}",
        f"my flight leaves {one} at {spoken} on {written}. What do clocks in {other} show then",
    ))  # fmt: skip
    return OneCall(
        question,
        f"the time in {other} when it is {spoken} in {one} on {written}",
        "convert_time",
        {"time": f"{date}T{clock}", "from_zone": one, "to_zone": other},
        f"in {other} it is {{time}}",
        order=f"convert {spoken} on {written} in {one} to the time of {other}",
    )


def now(course: Course) -> AnyPart:
    """The time or the date in a place now, or its offset from UTC."""
    city = course.draw.choice((*CITIES, *CITIES, *_ZONES))
    noun, fact, questions = course.draw.choice((
        ("the offset from UTC in {}", "the offset from UTC in {} is {{utc_offset}}", (
            "what is the offset of the time in {} from UTC now", "how far is {} from UTC now",
            "what is the current UTC offset in {}", "what UTC offset does {} have at the moment",
            "how many hours is {} ahead of or behind UTC", "which offset from UTC do clocks in {} have",
        )),
        ("the time in {} now", "in {} it is {{time}} now", (
            "what time is it in {} now", "what is the time in {}", "what is the current local time in {}",
            "I want to call a friend in {}. What time is it there",
        )),
        ("the date in {} today", "in {} today is {{time:.10}}", (
            "what is the date in {} today", "what date is it now in {}",
        )),
    ))  # fmt: skip
    question = course.draw.choice(questions).format(city)
    return OneCall(question, noun.format(city), "current_time", {"zone": city}, fact.format(city))


def today(course: Course) -> AnyPart:
    """Something about today or a day counted from today."""
    city, (end, written) = course.draw.choice(CITIES), a_spoken_date(course.draw)
    unit, many = course.draw.choice(("days", "weeks", "months")), course.draw.randrange(2, 40)
    span = f"{a_count(course.draw, many)} {unit}"
    kind, question, noun = course.draw.choice((
        ("weekday", f"what day of the week is it today in {city}", f"the weekday of today in {city}"),
        ("moon", f"what phase does the moon have today in {city}", f"the phase of the moon today in {city}"),
        ("sun", f"when does the sun set in {city} today", f"the time of sunset in {city} today"),
        ("until", f"how many days is it from today in {city} to {written}", f"the days from today to {written}"),
        ("later", f"what date will it be in {city} {span} from today", f"the date in {city} {span} from today"),
        ("tomorrow", f"what date is tomorrow in {city}", f"the date of tomorrow in {city}"),
    ))  # fmt: skip

    def solve(course: Course) -> str:
        day = course.call(f"the date in {city} today", "current_time", {"zone": city})["time"][:10]
        course.note(f"today is {day}")
        if kind == "weekday":
            weekday = course.call(f"the weekday of {day}", "weekday_of_date", {"date": day})["weekday"]
            return f"today, {day}, is a {weekday} in {city}"
        if kind == "moon":
            phase = course.call(f"the phase of the moon on {day}", "moon_phase", {"date": day})["phase"]
            return f"today, {day}, the phase of the moon is {phase}"
        if kind == "sun":
            sunset = course.call(f"the time of sunset in {city} on {day}", "sun_times", {"city": city, "date": day})
            return f"the sun sets in {city} today, {day}, at {sunset['sunset']}"
        if kind == "until":
            span_of = {"start": parts_of(dt.date.fromisoformat(day)), "end": parts_of(end)}
            days = course.call(f"the number of days from {day} to {written}", "days_between", span_of)["days"]
            return f"from today, {day}, to {written} there are {days} days"
        shift = {unit: many} if kind == "later" else {"days": 1}
        words = f"{span} after" if kind == "later" else "the day after"
        there = course.call(f"the date {words} {day}", "add_to_date", {"date": day, **shift})["date"]
        return f"{words} today, {day}, is {there}"

    return Part(question, noun, solve)


def difference(course: Course) -> AnyPart:
    """How far a clock is ahead of another one now."""
    one, other = course.draw.sample(CITIES, 2)
    question = course.draw.choice((
        f"how many hours is {one} ahead of {other} now", f"what is the time difference between {one} and {other} now",
    ))  # fmt: skip

    def solve(course: Course) -> str:
        needs, zones = [f"the offset from UTC in {city}" for city in (one, other)], [{"zone": one}, {"zone": other}]
        first, second = course.pair(needs, "current_time", zones, "utc_offset")
        ahead = _minutes(first) - _minutes(second)
        hours, minutes = divmod(abs(ahead), 60)
        much = f"{hours} hours" + (f" {minutes} minutes" if minutes else "")
        relation = f"{one} is {much} {'ahead of' if ahead > 0 else 'behind'} {other}" if ahead else "both are equal"
        return f"the offset is {first} in {one} and {second} in {other}, so {relation}"

    return Part(question, f"the time difference between {one} and {other}", solve)


def _minutes(offset: str) -> int:
    """Minutes of an offset, as in -03:30."""
    hours, minutes = offset[1:].split(":")
    return int(f"{offset[0]}1") * (60 * int(hours) + int(minutes))
