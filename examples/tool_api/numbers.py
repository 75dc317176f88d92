"""Statistics of a list of numbers."""

from __future__ import annotations

import math
import statistics
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

router = APIRouter(tags=["numbers"])

Number = Annotated[float, Field(ge=-1e9, le=1e9)]


class Values(BaseModel):
    """A list of numbers."""

    model_config = ConfigDict(extra="forbid")

    values: Annotated[list[Number], Field(min_length=1, max_length=50, description="The numbers")]


class Statistics(BaseModel):
    """What the numbers have in common, to six decimals."""

    count: int
    sum: float
    mean: float
    median: float
    minimum: float
    maximum: float
    standard_deviation: float


@router.post("/statistics", operation_id="statistics", summary="Mean, median and spread of numbers")
def describe(body: Values) -> Statistics:
    """Sum, mean, median, smallest, largest and population standard deviation."""
    values = body.values
    return Statistics(
        count=len(values),
        sum=round(math.fsum(values), 6),
        mean=round(statistics.fmean(values), 6),
        median=round(statistics.median(values), 6),
        minimum=min(values),
        maximum=max(values),
        standard_deviation=round(statistics.pstdev(values), 6),
    )
