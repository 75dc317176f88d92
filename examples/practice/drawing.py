"""Random values for questions, and their wordings."""

from __future__ import annotations

import datetime as dt
import random
from typing import Final

COUNTRIES: Final = (
    "Norway", "Sweden", "Finland", "Denmark", "Iceland", "Ireland", "France", "Spain", "Italy", "Austria", "Belgium",
    "Poland", "Hungary", "Greece", "Croatia", "Romania", "Bulgaria", "Estonia", "Latvia", "Lithuania", "Canada",
    "Mexico", "Brazil", "Argentina", "Chile", "Peru", "Colombia", "Japan", "India", "Indonesia", "Malaysia",
    "Australia", "New Zealand", "Egypt", "Morocco", "Kenya", "Nigeria", "South Africa", "Netherlands", "Luxembourg",
    "Slovakia", "Slovenia", "Ukraine", "Uruguay", "Portugal", "Germany", "Switzerland",
)  # fmt: skip
CITIES: Final = (
    "Madrid", "Rome", "Athens", "Vienna", "Warsaw", "Prague", "Budapest", "Helsinki", "Stockholm", "Copenhagen",
    "Dublin", "Paris", "Berlin", "Amsterdam", "Brussels", "Cairo", "Nairobi", "Cape Town", "Lima", "Santiago",
    "Buenos Aires", "Toronto", "Vancouver", "Chicago", "Denver", "Boston", "Seattle", "Singapore", "Bangkok", "Manila",
    "Seoul", "Sydney", "Melbourne", "Perth", "Wellington", "Reykjavik", "Riga", "Tallinn", "Vilnius", "Montreal",
    "Miami", "Lisbon", "Tokyo", "Oslo", "New York",
)  # fmt: skip
ZONES: Final = {
    "Madrid": "Europe/Madrid", "Paris": "Europe/Paris", "Berlin": "Europe/Berlin", "London": "Europe/London",
    "Helsinki": "Europe/Helsinki", "Athens": "Europe/Athens", "Istanbul": "Europe/Istanbul", "Cairo": "Africa/Cairo",
    "Nairobi": "Africa/Nairobi", "Dubai": "Asia/Dubai", "Karachi": "Asia/Karachi", "Dhaka": "Asia/Dhaka",
    "Bangkok": "Asia/Bangkok", "Singapore": "Asia/Singapore", "Seoul": "Asia/Seoul", "Sydney": "Australia/Sydney",
    "Chicago": "America/Chicago", "Denver": "America/Denver", "Toronto": "America/Toronto",
    "Los Angeles": "America/Los_Angeles", "New York": "America/New_York", "Lisbon": "Europe/Lisbon",
    "Tokyo": "Asia/Tokyo", "Kathmandu": "Asia/Kathmandu", "Kolkata": "Asia/Kolkata", "Lima": "America/Lima",
}  # fmt: skip
CURRENCIES: Final = (
    "USD", "EUR", "GBP", "JPY", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF", "CAD", "AUD", "NZD", "BRL", "MXN", "INR",
    "ZAR", "KRW", "SGD", "THB", "TRY", "ILS", "CLP", "COP", "ISK", "RON",
)  # fmt: skip
LANGUAGES: Final = (
    "Spanish", "French", "German", "Italian", "Dutch", "Swedish", "Danish", "Finnish", "Polish", "Czech", "Hungarian",
    "Romanian", "Bulgarian", "Turkish", "Arabic", "Hebrew", "Hindi", "Bengali", "Japanese", "Korean", "Vietnamese",
    "Indonesian", "Swahili", "Ukrainian", "Irish", "Welsh", "Basque", "Catalan", "Estonian", "Latvian",
)  # fmt: skip
SENTENCES: Final = (
    "A small key opens a large door.", "The train to the coast leaves at noon and returns before supper.",
    "Rain fell all night.", "She counted the lanterns along the harbour twice.", "Bread, salt and water.",
    "Nobody knew who had painted the fence green.", "The cat sleeps on the warm stones.", "Measure twice, cut once.",
    "Our neighbours planted three apple trees behind the old school.", "He wrote a long letter and never sent it.",
    "The museum opens late on Thursdays.", "Five birds sat on the wire and one flew away.",
    "Winter came early that year.", "Please close the window before you leave.", "The soup needs a little more time.",
    "Every bridge in the city was lit with blue lamps.", "I forgot my umbrella on the bus again.",
    "Two rivers meet below the castle.", "The clock in the hall is seven minutes slow.", "Tell me when you arrive.",
    "They walked along the shore until the light was gone.", "A good map saves a day.",
)  # fmt: skip


def a_date(draw: random.Random, first: int = 2024, last: int = 2030) -> dt.date:
    """A random day of these years."""
    start, end = dt.date(first, 1, 1), dt.date(last, 12, 31)
    return start + dt.timedelta(days=draw.randrange((end - start).days + 1))


def spoken_date(draw: random.Random, date: dt.date) -> str:
    """A date as people write it."""
    day_first = f"{date.day} {date:%B %Y}"
    return draw.choice((day_first, day_first, f"{date:%B} {date.day}, {date.year}", date.isoformat()))


def words_of(items: list[str]) -> str:
    """A list in a sentence."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
