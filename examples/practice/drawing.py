"""Random values for questions, and their wordings."""

from __future__ import annotations

import datetime as dt
import random
from typing import Final

import pycountry

# Names as people write them, and everyday names that pycountry knows. Calls escape what is not ASCII.
COUNTRIES: Final = (
    *(
        country.name
        for country in pycountry.countries
        if country.name.isascii() and country.name.count(" ") < 3 and "," not in country.name
    ),
    "Vietnam", "Iran", "Syria", "Bolivia", "Venezuela", "Tanzania", "Moldova", "Taiwan", "Czech Republic", "UK", "USA",
    "South Korea", "Laos",
)  # fmt: skip
# Everyday names that it does not know, and the name that it suggests.
OTHERWISE_CALLED: Final = {
    "Russia": "Russian Federation", "Macedonia": "North Macedonia", "Cape Verde": "Cabo Verde",
    "Holland": "Netherlands", "Great Britain": "United Kingdom", "England": "United Kingdom",
    "Brunei": "Brunei Darussalam",
}  # fmt: skip
CURRENCIES: Final = tuple(currency.alpha_3 for currency in pycountry.currencies if currency.alpha_3[0] != "X")
LANGUAGES: Final = tuple(
    language.name for language in pycountry.languages if hasattr(language, "alpha_2") and language.name.isalpha()
)
DEMONYMS: Final = {
    "Germany": "German", "France": "French", "Italy": "Italian", "Spain": "Spanish", "Poland": "Polish",
    "Norway": "Norwegian", "Sweden": "Swedish", "Finland": "Finnish", "Denmark": "Danish", "Iceland": "Icelandic",
    "Ireland": "Irish", "Austria": "Austrian", "Belgium": "Belgian", "Hungary": "Hungarian", "Greece": "Greek",
    "Croatia": "Croatian", "Romania": "Romanian", "Bulgaria": "Bulgarian", "Estonia": "Estonian", "Latvia": "Latvian",
    "Lithuania": "Lithuanian", "Slovakia": "Slovak", "Slovenia": "Slovenian", "Switzerland": "Swiss",
    "Canada": "Canadian", "Mexico": "Mexican", "Brazil": "Brazilian", "Argentina": "Argentine", "Chile": "Chilean",
    "Peru": "Peruvian", "Japan": "Japanese", "India": "Indian", "Australia": "Australian", "Egypt": "Egyptian",
    "Morocco": "Moroccan", "Kenya": "Kenyan", "Nigeria": "Nigerian", "South Africa": "South African",
    "Netherlands": "Dutch", "Ukraine": "Ukrainian", "Portugal": "Portuguese", "United States": "American",
}  # fmt: skip
CITIES: Final = (
    "Madrid", "Rome", "Athens", "Vienna", "Warsaw", "Prague", "Budapest", "Helsinki", "Stockholm", "Copenhagen",
    "Dublin", "Paris", "Berlin", "Amsterdam", "Brussels", "Cairo", "Nairobi", "Cape Town", "Lima", "Santiago",
    "Buenos Aires", "Toronto", "Vancouver", "Chicago", "Denver", "Boston", "Seattle", "Singapore", "Bangkok", "Manila",
    "Seoul", "Sydney", "Melbourne", "Perth", "Wellington", "Reykjavik", "Riga", "Tallinn", "Vilnius", "Montreal",
    "Miami", "Lisbon", "Tokyo", "Oslo", "New York", "London", "Istanbul", "Dubai", "Karachi", "Dhaka", "Kathmandu",
    "Kolkata", "Jakarta", "Hanoi", "Beijing", "Shanghai", "Hong Kong", "Taipei", "Auckland", "Brisbane", "Adelaide",
    "Darwin", "Hobart", "Honolulu", "Anchorage", "Los Angeles", "San Francisco", "Phoenix", "Dallas", "Houston",
    "Atlanta", "Philadelphia", "Detroit", "Mexico City", "Havana", "Bogota", "Caracas", "Quito", "La Paz", "Asuncion",
    "Montevideo", "Sao Paulo", "Brasilia", "Casablanca", "Algiers", "Tunis", "Tripoli", "Lagos", "Accra", "Dakar",
    "Johannesburg", "Harare", "Lusaka", "Luanda", "Addis Ababa", "Kampala", "Riyadh", "Baghdad", "Tehran", "Kabul",
    "Tashkent", "Almaty", "Novosibirsk", "Moscow", "Minsk", "Kyiv", "Bucharest", "Sofia", "Belgrade", "Zagreb",
    "Ljubljana", "Bratislava", "Zurich", "Luxembourg", "Monaco", "Andorra", "Malta", "Nicosia", "Beirut", "Amman",
    "Jerusalem", "Damascus", "Doha", "Kuwait", "Muscat", "Colombo", "Yangon", "Phnom Penh", "Ulaanbaatar",
    "Vladivostok", "Edinburgh", "Glasgow", "Liverpool",
)  # fmt: skip
# Cities that the tools do not know, and one that they know in the same time zone.
UNKNOWN_CITIES: Final = {
    "Munich": "Berlin", "Hamburg": "Berlin", "Frankfurt": "Berlin", "Cologne": "Berlin", "Barcelona": "Madrid",
    "Seville": "Madrid", "Manchester": "London", "Birmingham": "London", "Kyoto": "Tokyo", "Osaka": "Tokyo",
    "Milan": "Rome", "Venice": "Rome", "Naples": "Rome", "Lyon": "Paris", "Marseille": "Paris", "Nice": "Paris",
    "Porto": "Lisbon", "Bergen": "Oslo", "Gothenburg": "Stockholm", "Krakow": "Warsaw", "Geneva": "Zurich",
    "Mumbai": "Kolkata", "Chennai": "Kolkata", "Busan": "Seoul", "Cork": "Dublin", "Antwerp": "Brussels",
}  # fmt: skip
_NAMED_DAYS: Final = {
    "New Year's Day": (1, 1), "Valentine's Day": (2, 14), "Halloween": (10, 31), "Christmas Eve": (12, 24),
    "Christmas Day": (12, 25), "New Year's Eve": (12, 31),
}  # fmt: skip
_SUBJECTS: Final = (
    "The old baker", "A small key", "Our neighbour", "The last train", "Every bridge", "My sister", "A grey cat",
    "The museum guide", "Nobody", "The young captain", "A careful gardener", "The committee", "One quiet student",
    "The famous photographer", "An umbrella", "The entire orchestra", "Winter", "This complicated machine", "Maria",
    "Two sailors", "The lighthouse keeper", "A heavy parcel", "Professor Lind", "My favourite teacher", "Somebody",
    "The harbour", "A flock of geese", "The new librarian", "Bread", "Its only window", "The violin",
    "Three apple trees",
)  # fmt: skip
_ACTIONS: Final = (
    "opened the door", "counted the lanterns twice", "never arrived", "painted the fence green", "sleeps on the stones",
    "wrote a long letter", "remembers everything", "waits for the morning", "lost seven coins", "changed the timetable",
    "sings", "repaired the harbour clock", "carried the heavy boxes", "answers politely", "disappeared", "won again",
    "stood behind the old school", "left at noon", "makes a good soup", "could not be explained", "travelled by ferry",
    "fell asleep", "bought salt, pepper and rice", "is seven minutes late", "turned blue", "needs a little more time",
)  # fmt: skip
_ENDINGS: Final = (
    "", "", "", " before supper", " near the river", " without a word", " at noon", " because it was raining",
    " and went home", " in the middle of November", ", as always", " under the immense sky", " for 12 days",
    " with extraordinary patience", " on Thursday", " once upon a time", " all night", " in 1987",
)  # fmt: skip
_DIGITS: Final = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def a_date(draw: random.Random, first: int = 2020, last: int = 2035) -> dt.date:
    """A random day of these years."""
    start, end = dt.date(first, 1, 1), dt.date(last, 12, 31)
    return start + dt.timedelta(days=draw.randrange((end - start).days + 1))


def a_spoken_date(draw: random.Random) -> tuple[dt.date, str]:
    """A random day, and its wording."""
    if draw.random() < 0.05:
        name, (month, day) = draw.choice(sorted(_NAMED_DAYS.items()))
        date = dt.date(draw.randrange(2020, 2036), month, day)
        return date, f"{name} {draw.choice(('', 'in ', 'of '))}{date.year}"
    date = a_date(draw, *((1900, 2100) if draw.random() < 0.15 else (2020, 2035)))
    return date, spoken_date(draw, date)


def spoken_date(draw: random.Random, date: dt.date) -> str:
    """A date as people write it."""
    day_first, month_first = f"{date.day} {date:%B %Y}", f"{date:%B} {date.day}, {date.year}"
    nth = f"{date.day}{_ordinal(date.day)}"
    forms = [
        *[day_first] * 12, *[month_first] * 5, date.isoformat(), date.isoformat(), f"{date.day} {date:%b %Y}",
        f"{date:%b} {date.day}, {date.year}", f"{nth} {date:%B %Y}", f"the {nth} of {date:%B %Y}",
        f"{date:%B} {nth}, {date.year}", f"{date:%d.%m.%Y}", f"{date.day} {date:%B, %Y}",
    ]  # fmt: skip
    if date.day > 12:  # else month and day could be exchanged
        forms += [f"{date.month}/{date.day}/{date.year}", f"{date:%d/%m/%Y}"]
    return draw.choice(forms)


def a_clock(draw: random.Random) -> tuple[str, str]:
    """A time of day as HH:MM, and its wording."""
    hour, minute = draw.randrange(24), draw.choice((0, 0, 0, 30, 15, 45, draw.randrange(60)))
    clock = f"{hour:02}:{minute:02}"
    twelve, half = hour % 12 or 12, "am" if hour < 12 else "pm"
    part = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
    short = f"{twelve}{f':{minute:02}' if minute else ''}"
    forms = [clock, clock, clock, f"{short} {part}", f"{short} {part}", f"{short} {half}", f"{short} {half.upper()}",
             f"{twelve}:{minute:02} {half}", f"{short} {half[0]}.m."]  # fmt: skip
    if minute == 0:
        forms += [f"{_DIGITS[twelve - 1]} o'clock {part}", f"{_DIGITS[twelve - 1]} {part}"]
        forms += {0: ["midnight"] * 5, 12: ["noon"] * 5}.get(hour, [])
    if minute == 30:
        forms.append(f"half past {_DIGITS[twelve - 1]} {part}")
    if minute == 15:
        forms.append(f"a quarter past {_DIGITS[twelve - 1]} {part}")
    if minute == 45 and hour % 12 < 11:
        forms.append(f"a quarter to {_DIGITS[hour % 12]} {part}")
    return clock, draw.choice(forms)


def a_number(draw: random.Random) -> tuple[float, str]:
    """A number, and its wording."""
    value: float = draw.choice((
        draw.randrange(2, 50), draw.randrange(2, 500), draw.randrange(100, 10_000), round(draw.uniform(1, 120), 1),
        round(draw.uniform(1, 120), 1), round(draw.uniform(0.1, 20), 2), round(draw.uniform(100, 3000), 1),
        round(draw.uniform(0, 10), 3), draw.randrange(10_000, 2_000_000),
    ))  # fmt: skip
    value = int(value) if value == int(value) else value
    if value >= 1000 and draw.random() < 0.4:
        return value, f"{value:,}"
    return value, a_count(draw, value) if isinstance(value, int) else str(value)


def a_count(draw: random.Random, number: int) -> str:
    """A number in digits, or a small one as a word."""
    return _DIGITS[number - 1] if number in range(1, 13) and draw.random() < 0.3 else str(number)


def a_text(draw: random.Random) -> str:
    """A phrase, a sentence or two."""
    if draw.random() < 0.15:
        return draw.choice((draw.choice(_SUBJECTS), draw.choice(_ACTIONS), draw.choice(_ENDINGS)[1:] or "Hello"))
    marks = (".", ".", ".", "!", "")
    one, other = (
        f"{draw.choice(_SUBJECTS)} {draw.choice(_ACTIONS)}{draw.choice(_ENDINGS)}{draw.choice(marks)}" for _ in range(2)
    )
    return f"{one} {other}" if draw.random() < 0.2 and one.endswith(".") else one


def a_misspelling(draw: random.Random, name: str) -> str:
    """The name with a letter doubled, left out, or exchanged with the next one."""
    at = draw.randrange(1, len(name) - 1)
    one, other = name[at], name[at + 1]
    return name[:at] + draw.choice((one * 2 + other, other, other + one)) + name[at + 2 :]


def words_of(items: list[str]) -> str:
    """A list in a sentence."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
