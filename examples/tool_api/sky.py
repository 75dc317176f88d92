"""Sun and moon."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from astral import LocationInfo, moon
from astral.geocoder import all_locations, database, lookup
from astral.sun import sun
from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel

from examples.tool_api.errors import NotKnown, not_known

router = APIRouter(tags=["sky"])

_CITIES = database()
_PHASES = ("new moon", "waxing crescent", "first quarter", "waxing gibbous")
_WANING = ("full moon", "waning gibbous", "last quarter", "waning crescent")
_LUNAR_DAYS = 28  # astral counts a lunation as 28 parts


class SunTimes(BaseModel):
    city: str
    date: dt.date
    time_zone: str
    sunrise: str
    sunset: str
    day_length: str


class MoonPhase(BaseModel):
    date: dt.date
    phase: str
    age: float


def find_city(name: str) -> LocationInfo:
    """A capital or large city of astral's list."""
    try:
        found = lookup(name, _CITIES)
    except KeyError:
        raise not_known("city", name, [place.name for place in all_locations(_CITIES)]) from None
    if not isinstance(found, LocationInfo):
        raise NotKnown(f"{name!r} names a region; ask for a city")
    return found


@router.get("/sun/{city}", operation_id="sun_times", summary="Sunrise and sunset in a city")
def sun_times(
    city: Annotated[str, Path(description="City, e.g. Oslo", max_length=60)],
    date: Annotated[dt.date, Query(description="Date as YYYY-MM-DD")],
    clock: Annotated[Literal["24h", "12h"], Header(alias="X-Clock", description="How to write times")] = "24h",
) -> SunTimes:
    """Local time of sunrise and sunset, and the length of the day."""
    place = find_city(city)
    try:
        times = sun(place.observer, date=date, tzinfo=ZoneInfo(place.timezone))
    except ValueError as error:
        raise NotKnown(f"{place.name} on {date}: {error}") from None
    form = "%H:%M" if clock == "24h" else "%I:%M %p"
    minutes = round((times["sunset"] - times["sunrise"]).total_seconds() / 60)
    return SunTimes(
        city=place.name,
        date=date,
        time_zone=place.timezone,
        sunrise=times["sunrise"].strftime(form),
        sunset=times["sunset"].strftime(form),
        day_length=f"{minutes // 60} h {minutes % 60} min",
    )


@router.get("/moon/{date}", operation_id="moon_phase", summary="Phase of the moon")
def moon_phase(date: Annotated[dt.date, Path(description="Date as YYYY-MM-DD")]) -> MoonPhase:
    """The moon's phase on a date; its age goes from 0 (new) through 14 (full) to 28."""
    age = moon.phase(date)
    names = (*_PHASES, *_WANING)
    return MoonPhase(date=date, phase=names[round(age / _LUNAR_DAYS * len(names)) % len(names)], age=round(age, 1))
