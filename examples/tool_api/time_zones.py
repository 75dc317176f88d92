"""Clocks around the world, from the IANA time zone database."""

from __future__ import annotations

import datetime as dt
import functools
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from examples.tool_api.cities import find_city
from examples.tool_api.dates import LocalMinute
from examples.tool_api.errors import NotKnown, NotPossible, not_known

router = APIRouter(tags=["time zones"])

Zone = Annotated[str, Query(description="Time zone or city, e.g. Europe/Lisbon", max_length=60)]


def clock() -> dt.datetime:
    """The current time. An application with a fixed clock overrides this."""
    return dt.datetime.now(dt.UTC)


class LocalTime(BaseModel):
    """What a clock shows."""

    time_zone: str
    time: str
    utc_offset: str


@router.get("/now", operation_id="current_time", summary="Time in a time zone now")
def current_time(moment: Annotated[dt.datetime, Depends(clock)], zone: Zone = "UTC") -> LocalTime:
    """Date and time in a time zone at this moment."""
    return _shown(moment.astimezone(find_zone(zone)))


@router.get("/convert-time", operation_id="convert_time", summary="Convert a time between time zones")
def convert_time(
    time: Annotated[LocalMinute, Query(description="Local time as YYYY-MM-DDTHH:MM")],
    from_zone: Zone,
    to_zone: Zone,
) -> LocalTime:
    """What the clock shows in another time zone. Of an hour that comes twice the first is taken."""
    local = time.replace(tzinfo=find_zone(from_zone))
    to = find_zone(to_zone)
    try:
        moment = local.astimezone(dt.UTC)
        back = moment.astimezone(local.tzinfo)
        converted = moment.astimezone(to)
    except OverflowError:
        raise NotPossible("time: the result is not between the years 1 and 9999") from None
    if back.replace(tzinfo=None) != time:
        raise NotPossible(f"time: clocks in {from_zone} are put forward and skip {time:%H:%M} on {time:%Y-%m-%d}")
    return _shown(converted)


def find_zone(name: str) -> ZoneInfo:
    """A zone by its name, or by a city in it. Raises `NotKnown`."""
    key = _zones().get(name.strip().casefold())
    if key is None:
        try:
            key = find_city(name).timezone
        except NotKnown:
            raise not_known("time zone", name, _zones().values()) from None
    return ZoneInfo(key)


@functools.cache
def _zones() -> dict[str, str]:
    return {zone.casefold(): zone for zone in available_timezones()}


def _shown(moment: dt.datetime) -> LocalTime:
    return LocalTime(
        time_zone=str(moment.tzinfo),
        time=moment.strftime("%Y-%m-%d %H:%M"),
        utc_offset=moment.isoformat(timespec="minutes")[len("YYYY-MM-DDTHH:MM") :],
    )
