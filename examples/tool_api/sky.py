"""Sun and moon, computed by astral."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from astral import LocationInfo, SunDirection, moon
from astral.sun import SUN_APPARENT_RADIUS, elevation, noon, time_of_transit
from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel

from examples.tool_api.cities import find_city
from examples.tool_api.dates import Date
from examples.tool_api.errors import NotPossible

router = APIRouter(tags=["sky"])

# The formulas are accurate to about a minute in these years, and drift outside them.
FIRST_YEAR, LAST_YEAR = 1900, 2100

_PHASES = (
    "new moon", "waxing crescent", "first quarter", "waxing gibbous",
    "full moon", "waning gibbous", "last quarter", "waning crescent",
)  # fmt: skip
_PARTS_OF_A_LUNATION = 28  # as astral counts
_DAY = dt.timedelta(days=1)
_CLOCKS = {"24h": "%H:%M", "12h": "%I:%M %p"}


class SunTimes(BaseModel):
    """Local times; without a sunrise the sun is up or down all day, as the length of the day says."""

    city: str
    date: dt.date
    time_zone: str
    sunrise: str | None
    sunset: str | None
    day_length: str


class MoonPhase(BaseModel):
    """The moon on a day."""

    date: dt.date
    phase: str
    age: float


@router.get("/sun/{city}", operation_id="sun_times", summary="Sunrise and sunset in a city")
def sun_times(
    city: Annotated[str, Path(description="City, e.g. Oslo", max_length=60)],
    date: Annotated[Date, Query(description="Date as YYYY-MM-DD")],
    clock: Annotated[Literal["24h", "12h"], Header(alias="X-Clock", description="How to write times")] = "24h",
) -> SunTimes:
    """Local time of sunrise and sunset, and the length of the day, in a capital or large city."""
    place = find_city(city)
    _check_year(date)
    daylight = _daylight(place, date)
    return SunTimes(
        city=place.name,
        date=date,
        time_zone=place.timezone,
        sunrise=daylight and _written(daylight[0], date, _CLOCKS[clock]),
        sunset=daylight and _written(daylight[1], date, _CLOCKS[clock]),
        day_length=_day_length(place, date, daylight),
    )


@router.get("/moon/{date}", operation_id="moon_phase", summary="Phase of the moon")
def moon_phase(date: Annotated[Date, Path(description="Date as YYYY-MM-DD")]) -> MoonPhase:
    """The moon's phase on a date; its age goes from 0 (new) through 14 (full) to 28."""
    _check_year(date)
    age = moon.phase(date)
    phase = _PHASES[round(age / _PARTS_OF_A_LUNATION * len(_PHASES)) % len(_PHASES)]
    return MoonPhase(date=date, phase=phase, age=round(age, 1))


def _daylight(place: LocationInfo, date: dt.date) -> tuple[dt.datetime, dt.datetime] | None:
    """Local time of a date's sunrise and of the next sunset, which may be after midnight.

    None if the sun is up or down all day. Raises `NotPossible` for the days on which such a period begins or ends.
    """
    zone = ZoneInfo(place.timezone)
    rises = [moment.astimezone(zone) for moment in _crossings(place, date, SunDirection.RISING)]
    falls = [moment.astimezone(zone) for moment in _crossings(place, date, SunDirection.SETTING)]
    rise = next((moment for moment in rises if moment.date() == date), None)
    fall = next((moment for moment in falls if rise and _DAY > moment - rise > dt.timedelta()), None)
    if rise and fall:
        return rise, fall
    if rise or any(moment.date() == date for moment in falls):
        raise NotPossible(f"{place.name} on {date}: the polar day begins or ends, and has no sunrise with a sunset")
    return None


def _crossings(place: LocationInfo, date: dt.date, direction: SunDirection) -> list[dt.datetime]:
    """The crossings of the horizon around a date, in UTC and in order.

    astral computes one crossing per date in UTC. A crossing near midnight in UTC may be repeated or omitted; an
    omitted one is interpolated halfway between its neighbours, which is exact to within seconds.
    `astral.sun.sunrise` is not used for the same reason: on such a day it finds none.
    """
    crossings: list[dt.datetime] = []
    for shift in range(-3, 4):
        day = date + dt.timedelta(days=shift)
        try:
            crossing = time_of_transit(place.observer, day, 90 + SUN_APPARENT_RADIUS, direction)
        except ValueError:  # on a polar day, or in a polar night
            continue
        if not crossings or crossing - crossings[-1] > _DAY / 2:
            crossings.append(crossing)
    passed_over = [
        before + (after - before) / 2
        for before, after in itertools.pairwise(crossings)
        if 1.5 * _DAY < after - before < 2.5 * _DAY
    ]
    return sorted(crossings + passed_over)


def _written(moment: dt.datetime, date: dt.date, form: str) -> str:
    minute = moment + dt.timedelta(seconds=30)  # to the nearest
    return minute.strftime(form) if minute.date() == date else minute.strftime(f"{form} on %Y-%m-%d")


def _day_length(place: LocationInfo, date: dt.date, daylight: tuple[dt.datetime, dt.datetime] | None) -> str:
    if daylight is None:
        return "24 h 0 min" if elevation(place.observer, noon(place.observer, date)) > 0 else "0 h 0 min"
    rise, fall = (moment.astimezone(dt.UTC) for moment in daylight)  # clocks may change in between
    minutes = round((fall - rise).total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min"


def _check_year(date: dt.date) -> None:
    if not FIRST_YEAR <= date.year <= LAST_YEAR:
        raise NotPossible(f"date: sun and moon are computed for the years {FIRST_YEAR} to {LAST_YEAR}")
