"""Questions about time zones."""

from __future__ import annotations

from examples.practice.course import Course, Question
from examples.practice.drawing import ZONES, a_date, spoken_date


def elsewhere(course: Course) -> Question:
    """The time in another city."""
    one, other = course.draw.sample(sorted(ZONES), 2)
    date, hour = a_date(course.draw), course.draw.randrange(24)
    minute = course.draw.choice((0, 0, 30, 15))
    clock, written = f"{hour:02}:{minute:02}", spoken_date(course.draw, date)
    instruction = course.draw.choice((
        f"It is {clock} in {one} on {written}. What time is it in {other}?",
        f"It is {_spoken(hour, minute)} in {one} on {written}. What time is it in {other}?",
        f"When it is {clock} on {written} in {one}, what time is it in {other}?",
        f"What time is it in {other} when it is {_spoken(hour, minute)} in {one} on {written}?",
    ))  # fmt: skip
    time = f"{date}T{clock}"
    result = course.call(
        f"I convert {time} from {ZONES[one]} to {ZONES[other]} with convert_time.",
        "convert_time",
        {"time": time, "from_zone": ZONES[one], "to_zone": ZONES[other]},
    )
    if not result:
        raise LookupError(time)
    there = result["time"]
    return Question(
        instruction, f"In {other} it is {there}. I can answer now.", f"In {other} it is {there[-5:]} on {there[:10]}."
    )


def offset(course: Course) -> Question:
    """The UTC offset of a place without summer time, so that the answer stays right."""
    city = course.draw.choice(("Dubai", "Karachi", "Dhaka", "Bangkok", "Singapore", "Seoul", "Tokyo", "Kathmandu",
                               "Nairobi", "Istanbul", "Lima"))  # fmt: skip
    instruction = course.draw.choice((
        f"What is the offset of the time in {city} from UTC now?", f"How far is {city} from UTC now?",
        f"What is the current UTC offset in {city}?",
    ))  # fmt: skip
    thought = f"I need the time in {ZONES[city]} now. I call current_time."
    shift = course.call(thought, "current_time", {"zone": ZONES[city]})["utc_offset"]
    return Question(instruction, f"The offset is {shift}. I can answer now.", f"The time in {city} is UTC{shift}.")


def _spoken(hour: int, minute: int) -> str:
    half = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
    return f"{hour % 12 or 12}{f':{minute:02}' if minute else ''} {half}"
