"""Dates and public holidays. All dates are Gregorian, also before that calendar was introduced."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import holidays
from dateutil.relativedelta import relativedelta  # type: ignore[import-untyped,unused-ignore]
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator

from examples.tool_api.dates import Date
from examples.tool_api.errors import NotKnown, NotPossible, not_known
from examples.tool_api.places import find_country

router = APIRouter(tags=["calendar"])

# Holidays of the lunar calendar are computed for these years in every country; outside them some are missing.
FIRST_YEAR, LAST_YEAR = 2001, 2035

Country = Annotated[str, Path(description="Country name or code, e.g. PT", max_length=60)]
Year = Annotated[int, Path(description="Year", ge=FIRST_YEAR, le=LAST_YEAR)]


class Holiday(BaseModel):
    """A date and what is celebrated."""

    date: dt.date
    name: str


class Holidays(BaseModel):
    """The public holidays of a year."""

    country: str
    year: int
    count: int
    holidays: list[Holiday]


class DayOfWeek(BaseModel):
    """Where a date stands in its week."""

    date: dt.date
    weekday: str
    iso_week: int


class ShiftedDate(BaseModel):
    """A date reached by counting."""

    date: dt.date
    weekday: str


class CalendarDay(BaseModel):
    """A day by its numbers, which small models write more reliably than a formatted date."""

    model_config = ConfigDict(extra="forbid")

    year: Annotated[int, Field(ge=1, le=9999, description="Year")]
    month: Annotated[int, Field(ge=1, le=12, description="Month")]
    day: Annotated[int, Field(ge=1, le=31, description="Day of the month")]

    @model_validator(mode="after")
    def _exists(self) -> CalendarDay:
        self.as_date()  # its ValueError, "day is out of range for month", is the message
        return self

    def as_date(self) -> dt.date:
        """The same day. Raises `ValueError` for the 31st of February."""
        return dt.date(self.year, self.month, self.day)


class Span(BaseModel):
    """Two days."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[CalendarDay, Field(description="First day")]
    end: Annotated[CalendarDay, Field(description="Last day")]


class Days(BaseModel):
    """The distance of two days."""

    days: int
    weeks: float


@router.get("/holidays/{country}/{year}", operation_id="public_holidays", summary="Public holidays of a country")
def public_holidays(country: Country, year: Year) -> Holidays:
    """All national public holidays of a country in one year."""
    code = _holiday_code(country)
    calendar = holidays.country_holidays(code, language="en_US")
    if not calendar.start_year <= year <= calendar.end_year:
        raise NotPossible(f"the holidays of {code} are known from {calendar.start_year} to {calendar.end_year}")
    days = holidays.country_holidays(code, years=year, language="en_US")
    listed = [Holiday(date=date, name=name) for date, name in sorted(days.items())]
    if not listed:
        raise NotKnown(f"no public holidays of {code} in {year} are known")
    return Holidays(country=code, year=year, count=len(listed), holidays=listed)


@router.get("/weekday/{date}", operation_id="weekday_of_date", summary="Weekday of a date")
def weekday_of_date(date: Annotated[Date, Path(description="Date as YYYY-MM-DD")]) -> DayOfWeek:
    """The day of the week and the ISO week of a date."""
    return DayOfWeek(date=date, weekday=date.strftime("%A"), iso_week=date.isocalendar().week)


@router.get("/shift", operation_id="add_to_date", summary="Add days, weeks, months or years to a date")
def add_to_date(
    date: Annotated[Date, Query(description="Date as YYYY-MM-DD")],
    days: Annotated[int, Query(ge=-100_000, le=100_000, description="Days to add")] = 0,
    weeks: Annotated[int, Query(ge=-10_000, le=10_000, description="Weeks to add")] = 0,
    months: Annotated[int, Query(ge=-1_200, le=1_200, description="Months to add")] = 0,
    years: Annotated[int, Query(ge=-100, le=100, description="Years to add")] = 0,
) -> ShiftedDate:
    """The date that is so many days, weeks, months and years later, or earlier with negative numbers."""
    try:
        shifted = date + relativedelta(days=days, weeks=weeks, months=months, years=years)
    except (ValueError, OverflowError):
        raise NotPossible("the result is not between the years 1 and 9999") from None
    return ShiftedDate(date=shifted, weekday=shifted.strftime("%A"))


@router.post("/days-between", operation_id="days_between", summary="Days between two dates")
def days_between(span: Span) -> Days:
    """Number of days from the first date to the last; negative when the last is earlier."""
    days = (span.end.as_date() - span.start.as_date()).days
    return Days(days=days, weeks=round(days / 7, 2))


def _holiday_code(country: str) -> str:
    known = holidays.list_supported_countries(include_aliases=False)
    # Asked before the list of ISO 3166, which lacks Kosovo's XK.
    code = country.strip().upper()
    if code not in known:
        code = find_country(country).alpha_2
    if code not in known:
        raise not_known("country with known holidays", country, known)
    return code
