"""Coordinates of cities, from two lists in libraries.

The cities that name a time zone come from the time zone database (`zone.tab` of tzdata), all others from astral. The
first list takes precedence: astral's is compiled by hand and has some cities in the wrong hemisphere.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from importlib.resources import files

from astral import LocationInfo
from astral.geocoder import all_locations, database

from examples.tool_api.errors import NotPossible, not_known

# astral 3.2 has these more than a degree off, or in a wrong time zone, and zone.tab does not have them.
# No answer is better than a wrong one.
_MISPLACED = frozenset({
    "Al Jubail", "Avarua", "Nuku'alofa", "Saint Helier", "Sana", "Sana'a", "St. George's", "Sucre", "W. Indies",
    "Washington DC",
})  # fmt: skip
_MISPLACED_NAMESAKES = frozenset({("Kingston", "Norfolk Island")})

_COORDINATES = re.compile(r"([+-]\d{2})(\d{2})(\d{2})?([+-]\d{3})(\d{2})(\d{2})?")  # degrees, minutes, seconds


def find_city(name: str) -> LocationInfo:
    """The city of a name, in any case and with or without accents; a region after a comma distinguishes namesakes.

    Raises `NotKnown`, and `NotPossible` for a name that several cities have.
    """
    matches = _by_key().get(_key(name))
    if not matches:
        raise not_known("city", name, {city.name for cities in _by_key().values() for city in cities})
    if len(matches) > 1:
        choices = " or ".join(f"{city.name}, {city.region}" for city in matches)
        raise NotPossible(f"more than one city is called {name!r}; say {choices}")
    return matches[0]


@functools.cache
def _by_key() -> dict[str, list[LocationInfo]]:
    naming_zones = {_key(city.name): [city] for city in _cities_of_zones()}
    cities: dict[str, list[LocationInfo]] = {}
    for city in _cities_of_astral():
        for key in (_key(city.name), _key(f"{city.name} {city.region}")):
            same = cities.setdefault(key, [])
            if all(other.observer != city.observer for other in same):
                same.append(city)
    return cities | naming_zones


def _cities_of_zones() -> Iterator[LocationInfo]:
    table = files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8")
    for line in table.splitlines():
        if line.startswith("#"):
            continue
        country, coordinates, zone = line.split("\t")[:3]
        latitude, longitude = _degrees(coordinates)
        yield LocationInfo(zone.rpartition("/")[2].replace("_", " "), country, zone, latitude, longitude)


def _cities_of_astral() -> Iterator[LocationInfo]:
    for city in all_locations(database()):
        if city.name not in _MISPLACED and (city.name, city.region) not in _MISPLACED_NAMESAKES:
            yield city


def _degrees(coordinates: str) -> tuple[float, float]:
    """Latitude and longitude from ISO 6709, as in `+5955+01045`. Raises `ValueError`."""
    parts = _COORDINATES.fullmatch(coordinates)
    if parts is None:
        raise ValueError(f"{coordinates!r} are no coordinates of zone.tab")
    return _decimal(*parts.group(1, 2, 3)), _decimal(*parts.group(4, 5, 6))


def _decimal(degrees: str, minutes: str, seconds: str | None) -> float:
    size = abs(int(degrees)) + int(minutes) / 60 + int(seconds or 0) / 3600
    return -size if degrees.startswith("-") else size


def _key(name: str) -> str:
    """The name without accents, punctuation and case."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(character for character in plain if character.isalnum())
