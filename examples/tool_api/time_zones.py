"""Clocks around the world."""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from fastapi import APIRouter, Query
from pydantic import BaseModel

from examples.tool_api.errors import not_known

router = APIRouter(tags=["time zones"])

Zone = Annotated[str, Query(description="Time zone, e.g. Europe/Lisbon", max_length=60)]


class LocalTime(BaseModel):
    time_zone: str
    time: str
    utc_offset: str


def find_zone(name: str) -> ZoneInfo:
    """A zone of the IANA data base."""
    if name not in available_timezones():
        raise not_known("time zone", name, available_timezones())
    return ZoneInfo(name)


def _local(moment: dt.datetime, zone: str) -> LocalTime:
    return LocalTime(time_zone=zone, time=moment.strftime("%Y-%m-%d %H:%M"), utc_offset=moment.strftime("%z"))


@router.get("/now", operation_id="current_time", summary="Time in a time zone now")
def current_time(zone: Zone = "UTC") -> LocalTime:
    """Date and time in a time zone at this moment."""
    return _local(dt.datetime.now(find_zone(zone)), zone)


@router.get("/convert-time", operation_id="convert_time", summary="Convert a time between time zones")
def convert_time(
    time: Annotated[dt.datetime, Query(description="Local time as YYYY-MM-DDTHH:MM")], from_zone: Zone, to_zone: Zone
) -> LocalTime:
    """What the clock shows in another time zone."""
    return _local(time.replace(tzinfo=find_zone(from_zone)).astimezone(find_zone(to_zone)), to_zone)
