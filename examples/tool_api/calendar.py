"""Dates and public holidays."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import holidays
from dateutil.relativedelta import relativedelta
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from examples.tool_api.errors import not_known

router = APIRouter(tags=["calendar"])

Country = Annotated[str, Path(description="Two-letter country code, e.g. PT", min_length=2, max_length=2)]
Year = Annotated[int, Path(description="Year", ge=1950, le=2100)]


class Holiday(BaseModel):
    date: dt.date
    name: str


class Holidays(BaseModel):
    country: str
    year: int
    count: int
    holidays: list[Holiday]


class DayOfWeek(BaseModel):
    date: dt.date
    weekday: str
    iso_week: int


class ShiftedDate(BaseModel):
    date: dt.date
    weekday: str


class CalendarDay(BaseModel):
    year: Annotated[int, Field(ge=1, le=9999, description="Year")]
    month: Annotated[int, Field(ge=1, le=12, description="Month")]
    day: Annotated[int, Field(ge=1, le=31, description="Day of the month")]

    def as_date(self) -> dt.date:
        return dt.date(self.year, self.month, 1) + dt.timedelta(days=self.day - 1)


class Span(BaseModel):
    start: Annotated[CalendarDay, Field(description="First day")]
    end: Annotated[CalendarDay, Field(description="Last day")]


class Days(BaseModel):
    days: int
    weeks: float


@router.get("/holidays/{country}/{year}", operation_id="public_holidays", summary="Public holidays of a country")
def public_holidays(country: Country, year: Year) -> Holidays:
    """All public holidays of a country in one year."""
    code = country.upper()
    if code not in holidays.list_supported_countries():
        raise not_known("country with known holidays", code, holidays.list_supported_countries())
    found = sorted(holidays.country_holidays(code, years=year, language="en_US").items())
    listed = [Holiday(date=date, name=name) for date, name in found]
    return Holidays(country=code, year=year, count=len(listed), holidays=listed)


@router.get("/weekday/{date}", operation_id="weekday_of_date", summary="Weekday of a date")
def weekday_of_date(date: Annotated[dt.date, Path(description="Date as YYYY-MM-DD")]) -> DayOfWeek:
    """The day of the week and the ISO week of a date."""
    return DayOfWeek(date=date, weekday=date.strftime("%A"), iso_week=date.isocalendar().week)


@router.get("/shift", operation_id="add_to_date", summary="Add days, weeks, months or years to a date")
def add_to_date(
    date: Annotated[dt.date, Query(description="Date as YYYY-MM-DD")],
    days: Annotated[int, Query(ge=-100_000, le=100_000, description="Days to add")] = 0,
    weeks: Annotated[int, Query(ge=-10_000, le=10_000, description="Weeks to add")] = 0,
    months: Annotated[int, Query(ge=-1_200, le=1_200, description="Months to add")] = 0,
    years: Annotated[int, Query(ge=-100, le=100, description="Years to add")] = 0,
) -> ShiftedDate:
    """The date that is so many days, weeks, months and years later, or earlier with negative numbers."""
    try:
        shifted = date + relativedelta(days=days, weeks=weeks, months=months, years=years)
    except (ValueError, OverflowError):
        raise not_known("date between the years 1 and 9999", f"{date} shifted so far", []) from None
    return ShiftedDate(date=shifted, weekday=shifted.strftime("%A"))


@router.post("/days-between", operation_id="days_between", summary="Days between two dates")
def days_between(span: Span) -> Days:
    """Number of days from the first date to the last; negative when the last is earlier."""
    days = (span.end.as_date() - span.start.as_date()).days
    return Days(days=days, weeks=round(days / 7, 2))
