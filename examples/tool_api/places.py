"""Countries, currencies and languages, as in ISO 3166, 4217 and 639."""

from __future__ import annotations

from typing import Annotated, Any

import pycountry
from fastapi import APIRouter, Path
from pydantic import BaseModel

from examples.tool_api.errors import NotKnown, not_known

router = APIRouter(tags=["places"])

# ISO 3166 reserves this code, and does not list it.
_RESERVED = {"UK": "GB"}
# A shorter query is a code, and similarity of codes means nothing.
_SHORTEST_NAME = 4


class CountryInfo(BaseModel):
    """Names and codes of a country."""

    name: str
    official_name: str
    alpha_2: str
    alpha_3: str
    numeric: str
    flag: str


class CurrencyInfo(BaseModel):
    """Name and codes of a currency."""

    code: str
    name: str
    numeric: str


class LanguageInfo(BaseModel):
    """Name and codes of a language."""

    code: str
    name: str
    alpha_3: str


@router.get("/country/{country}", operation_id="country_info", summary="Names and codes of a country")
def country_info(
    country: Annotated[str, Path(description="Name or code of the country", max_length=60)],
) -> CountryInfo:
    """Official name and ISO 3166 codes."""
    match = find_country(country)
    return CountryInfo(
        name=match.name,
        official_name=getattr(match, "official_name", match.name),
        alpha_2=match.alpha_2,
        alpha_3=match.alpha_3,
        numeric=match.numeric,
        flag=match.flag,
    )


@router.get("/currency/{currency}", operation_id="currency_info", summary="Name and code of a currency")
def currency_info(
    currency: Annotated[str, Path(description="Code or name, e.g. JPY or Yen", max_length=60)],
) -> CurrencyInfo:
    """ISO 4217 name and number of a currency."""
    match = _find(pycountry.currencies, "currency", currency)
    return CurrencyInfo(code=match.alpha_3, name=match.name, numeric=match.numeric)


@router.get("/language/{language}", operation_id="language_info", summary="Name and codes of a language")
def language_info(
    language: Annotated[str, Path(description="Name or code, e.g. pt or Portuguese", max_length=60)],
) -> LanguageInfo:
    """ISO 639 name and codes of a language."""
    match = _find(pycountry.languages, "language", language)
    return LanguageInfo(code=getattr(match, "alpha_2", match.alpha_3), name=match.name, alpha_3=match.alpha_3)


def find_country(query: str) -> Any:
    """pycountry's entry for a name or code. Raises `NotKnown`."""
    name = query.strip()
    try:
        return _find(pycountry.countries, "country", _RESERVED.get(name.upper(), name))
    except NotKnown as error:
        # Common names, such as Russia. A fuzzy match is good enough for a suggestion, not for an answer.
        guess = _fuzzy(name)
        raise (NotKnown(f"no country is called {query!r}; did you mean {guess}?") if guess else error) from None


def _fuzzy(name: str) -> str | None:
    if len(name) < _SHORTEST_NAME:
        return None
    try:
        return str(pycountry.countries.search_fuzzy(name)[0].name)
    except LookupError:
        return None


def _find(data: Any, kind: str, query: str) -> Any:
    try:
        return data.lookup(query.strip())
    except LookupError:
        raise not_known(kind, query, [entry.name for entry in data]) from None
