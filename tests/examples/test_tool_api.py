"""The example tool API: its document, its answers where libraries err, and its errors."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from examples.tool_api.app import create_app
from examples.tool_api.cities import find_city

Json = dict[str, Any]

OPERATIONS = {
    "public_holidays", "weekday_of_date", "add_to_date", "days_between", "sun_times", "moon_phase", "current_time",
    "convert_time", "convert_unit", "country_info", "currency_info", "language_info", "statistics", "text_metrics",
}  # fmt: skip


def day(year: int, month: int, number: int) -> Json:
    return {"year": year, "month": month, "day": number}


def test_the_document_is_valid_and_short_enough_for_small_models() -> None:
    document = create_app().openapi()
    validate(document)
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert {operation["operationId"] for operation in operations} == OPERATIONS
    assert "servers" not in document
    for operation in operations:
        assert operation["tags"]
        assert operation["summary"]
        assert 0 < len(operation["description"]) <= 256
        assert all(parameter["description"] for parameter in operation.get("parameters", []))


def test_the_document_says_what_a_refusal_looks_like() -> None:
    document = create_app().openapi()
    refusal = document["paths"]["/country/{country}"]["get"]["responses"]["404"]["content"]
    assert refusal["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/country/portugl", 404, "did you mean Portugal?"),
        ("/country/Russia", 404, "did you mean Russian Federation?"),
        ("/language/greek", 404, "Greek"),
        ("/sun/Osloo?date=2027-06-21", 404, "did you mean Oslo"),
        ("/sun/Birmingham?date=2027-06-21", 422, "say Birmingham, England or Birmingham, USA"),
        ("/sun/Sana'a?date=2027-06-21", 404, "no city"),
        ("/sun/Oslo?date=tomorrow", 422, "date: write the date as YYYY-MM-DD"),
        ("/sun/Oslo?date=1066-10-14", 422, "1900 to 2100"),
        ("/weekday/0", 422, "date: write the date as YYYY-MM-DD"),
        ("/weekday/2027-02-30", 422, "date: day is out of range for month"),
        ("/now?zone=Europe/Lisboa", 404, "Europe/Lisbon"),
        ("/convert-time?time=2027-05-01T09:00Z&from_zone=UTC&to_zone=UTC", 422, "without an offset"),
        ("/convert-time?time=2027-03-28T02:30&from_zone=Europe/Berlin&to_zone=UTC", 422, "skip 02:30"),
        ("/convert-time?time=0001-01-01T00:00&from_zone=Asia/Tokyo&to_zone=UTC", 422, "between the years"),
        ("/convert-unit?value=1&from_unit=mile&to_unit=kilogram", 422, "mile does not convert to kilogram"),
        ("/convert-unit?value=1&from_unit=furlog&to_unit=meter", 404, "did you mean furlong"),
        ("/convert-unit?value=1&from_unit=m/dB&to_unit=meter", 422, "m/dB does not convert"),
        ("/convert-unit?value=300000&from_unit=dB&to_unit=dB", 200, "300000"),
        ("/convert-unit?value=1&from_unit=m**3**3&to_unit=meter", 422, "from_unit"),
        ("/holidays/XX/2027", 404, "no country"),
        ("/holidays/LK/2030", 422, "known from 2003 to 2026"),
        ("/holidays/HM/2027", 404, "no public holidays"),
        ("/holidays/PT/1950", 422, "year"),
        ("/shift?date=9999-12-31&days=5", 422, "between the years"),
        ("/shift?date=2027-01-01&day=5", 422, "did you mean days?"),
        ("/nowhere", 404, "Not Found"),
    ],
)
async def test_a_question_without_an_answer_is_an_error(
    client: httpx.AsyncClient, path: str, status: int, message: str
) -> None:
    response = await client.get(path)
    assert (response.status_code, message in response.text) == (status, True), response.text
    if status != 200:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == status


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/days-between", {"start": day(2027, 2, 31), "end": day(2027, 3, 3)}, "start: day is out of range for month"),
        ("/days-between", {"start": day(2027, 2, 1)}, "end: Field required"),
        ("/statistics", {"values": []}, "values: List should have at least 1 item"),
        ("/statistics", {"values": [1, "x"]}, "values.1: "),
        ("/statistics", {"values": [1], "digits": 2}, "digits: Extra inputs"),
        ("/text-metrics", {"text": "a" * 2001}, "text: String should have at most 2000"),
    ],
)
async def test_a_wrong_body_is_refused_by_field(client: httpx.AsyncClient, path: str, body: Json, message: str) -> None:
    response = await client.post(path, json=body)
    assert response.status_code == 422
    assert message in response.json()["detail"]


@pytest.mark.parametrize("raw", [b"{values", b'{"values": [NaN]}'])
async def test_a_body_that_is_not_json_is_refused(client: httpx.AsyncClient, raw: bytes) -> None:
    response = await client.post("/statistics", content=raw, headers={"content-type": "application/json"})
    assert response.status_code == 422


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        # The sunset belongs to the day although the clock has passed midnight.
        ("/sun/Reykjavik?date=2027-06-21", {"sunrise": "02:56", "sunset": "00:03 on 2027-06-22"}),
        ("/sun/Longyearbyen?date=2027-06-21", {"sunrise": None, "day_length": "24 h 0 min"}),
        ("/sun/Longyearbyen?date=2027-12-21", {"sunrise": None, "day_length": "0 h 0 min"}),
        # Sunrise is at midnight UTC, where astral's own function finds none.
        ("/sun/Islamabad?date=2027-05-28", {"sunrise": "05:00", "day_length": "14 h 10 min"}),
        ("/sun/são paulo?date=2027-01-01", {"city": "Sao Paulo", "time_zone": "America/Sao_Paulo"}),
        ("/now?zone=kolkata", {"time_zone": "Asia/Kolkata", "utc_offset": "+05:30"}),
        ("/convert-unit?value=1&from_unit=inch&to_unit=light_year", {"value": 2.684782118e-18}),
        ("/convert-unit?value=10&from_unit=degrees Celsius&to_unit=Fahrenheit", {"value": 50.0}),
        ("/convert-unit?value=10&from_unit=square kilometer&to_unit=square mile", {"value": 3.861021585}),
        ("/convert-unit?value=1&from_unit=fluid ounce&to_unit=ml", {"value": 29.57352956}),
        ("/country/UK", {"alpha_3": "GBR"}),
        ("/holidays/Portugal/2027", {"country": "PT", "count": 13}),
        ("/shift?date=2028-02-29&years=1", {"date": "2029-02-28"}),
    ],
)
async def test_answers_where_it_is_easy_to_go_wrong(client: httpx.AsyncClient, path: str, expected: Json) -> None:
    response = await client.get(path)
    assert response.status_code == 200, response.text
    assert {name: response.json()[name] for name in expected} == expected


async def test_a_sum_is_exact(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/statistics", json={"values": [1e9, 0.1, -1e9]})).json()
    assert (answer["sum"], answer["minimum"], answer["maximum"]) == (0.1, -1e9, 1e9)


# Full and new moons of 2026, in UTC, as almanacs give them.
@pytest.mark.parametrize(
    ("date", "phase"),
    [
        ("2026-01-03", "full moon"),
        ("2026-05-31", "full moon"),
        ("2026-08-28", "full moon"),
        ("2026-12-24", "full moon"),
        ("2026-01-18", "new moon"),
        ("2026-08-12", "new moon"),
        ("2026-12-09", "new moon"),
    ],
)
async def test_the_moon_follows_the_almanac(client: httpx.AsyncClient, date: str, phase: str) -> None:
    assert (await client.get(f"/moon/{date}")).json()["phase"] == phase


@pytest.mark.parametrize("city", ["Oslo", "Astana", "Apia", "Honolulu", "Kiritimati", "Auckland", "Nouakchott"])
async def test_the_sun_rises_every_day_a_little_earlier_or_later(client: httpx.AsyncClient, city: str) -> None:
    dates = [dt.date(2027, 3, 1) + dt.timedelta(days=days) for days in range(100)]
    times = [(await client.get(f"/sun/{city}", params={"date": date.isoformat()})).json() for date in dates]
    minutes = [int(hours) * 60 + int(rest) for hours, rest in (time["sunrise"].split(":") for time in times)]
    steps = [abs(after - before) for before, after in itertools.pairwise(minutes)]
    clock_changes = sum(step > 50 for step in steps)
    assert clock_changes <= 1
    assert sorted(steps)[-1 - clock_changes] <= 5


@pytest.mark.parametrize(
    ("city", "latitude", "longitude"),
    [("Nouakchott", 18.1, -16.0), ("Buenos Aires", -34.6, -58.4), ("Beijing", 39.9, 116.4), ("Kingston", 18.0, -76.8)],
)
def test_cities_are_where_they_are(city: str, latitude: float, longitude: float) -> None:
    place = find_city(city)
    assert (place.latitude, place.longitude) == pytest.approx((latitude, longitude), abs=0.2)
