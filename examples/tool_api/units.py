"""Units of measure."""

from __future__ import annotations

from typing import Annotated

import pint
from fastapi import APIRouter, Query
from pydantic import BaseModel

from examples.tool_api.errors import NotKnown, not_known

router = APIRouter(tags=["units"])

_UNITS: pint.UnitRegistry[float] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
_NAMES = ("mile", "kilometer", "meter", "foot", "inch", "pound", "kilogram", "gram", "celsius", "fahrenheit", "liter")

Unit = Annotated[str, Query(description="Unit, e.g. mile", max_length=40, pattern=r"^[A-Za-z_/ ]+$")]


class Quantity(BaseModel):
    value: float
    unit: str


@router.get("/convert-unit", operation_id="convert_unit", summary="Convert a quantity to another unit")
def convert_unit(
    value: Annotated[float, Query(ge=-1e12, le=1e12, description="How many")], from_unit: Unit, to_unit: Unit
) -> Quantity:
    """The same quantity in another unit of the same kind."""
    try:
        converted = _UNITS.Quantity(value, _parse(from_unit)).to(_parse(to_unit))
    except pint.DimensionalityError as error:
        raise NotKnown(f"{from_unit} and {to_unit} measure different things: {error}") from None
    return Quantity(value=round(float(converted.magnitude), 6), unit=str(converted.units))


def _parse(name: str) -> pint.Unit:
    try:
        return _UNITS.parse_units(name.strip().replace(" ", "_"))
    except (pint.UndefinedUnitError, ValueError):
        raise not_known("unit", name, _NAMES) from None
