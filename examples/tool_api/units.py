"""Units of measure, converted by pint."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import pint
from fastapi import APIRouter, Query
from pydantic import BaseModel

from examples.tool_api.errors import NotPossible, not_known

router = APIRouter(tags=["units"])

_UNITS: pint.UnitRegistry[float] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
# pint reads a space as a product, which is correct only with these; elsewhere it is part of the name (fluid ounce).
_OPERATORS = frozenset({"per", "square", "squared", "sq", "cubic", "cubed"})

# Letters only: the parser also reads powers, and 2**3**3**3 would take for ever.
Unit = Annotated[
    str,
    Query(description="Unit, e.g. mile or km/hour", max_length=40, pattern=r"^[A-Za-z_]+([ /][A-Za-z_]+)*$"),
]


class Quantity(BaseModel):
    """A number of units."""

    value: float
    unit: str


@router.get("/convert-unit", operation_id="convert_unit", summary="Convert a quantity to another unit")
def convert_unit(
    value: Annotated[float, Query(ge=-1e12, le=1e12, description="How many")], from_unit: Unit, to_unit: Unit
) -> Quantity:
    """The same quantity in another unit of the same kind, to ten digits."""
    try:
        converted = _UNITS.Quantity(value, _parse(from_unit)).to(_parse(to_unit))
    except (pint.PintError, AssertionError) as error:  # It asserts if a decibel is part of a compound unit.
        raise NotPossible(f"{from_unit} does not convert to {to_unit}: {error or 'pint has no rule for it'}") from None
    if not math.isfinite(converted.magnitude):
        raise NotPossible("value: the result is too large for a number")
    return Quantity(value=float(f"{converted.magnitude:.10g}"), unit=str(converted.units))


def _parse(name: str) -> pint.Unit:
    for spelling in _spellings(name):
        try:
            return _UNITS.parse_units(spelling)
        except pint.PintError:
            continue
    raise not_known("unit", name, _UNITS)


def _spellings(name: str) -> Iterator[str]:
    """The name as pint writes it: first unchanged, because case matters (Mg, mg), then in lower case."""
    for spelling in (name, name.lower().removeprefix("degrees ").removeprefix("degree ")):
        yield spelling if _OPERATORS & set(spelling.lower().split()) else spelling.replace(" ", "_")
