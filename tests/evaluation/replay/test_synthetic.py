"""Synthetic tool answers have the described form, also over HTTP and for the full data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from evaluation.replay.synthetic import create_synthetic_server, synthesize
from recordings.suites.suite import Suite, load_suite

Json = dict[str, Any]
NAME = "toolalpaca-simulated"
FORM = " - Format: application/json\n - Structure: "
FUNCTIONS = {
    "searchHarbours": f'Finds.\nParameters: {{"query": "Required. string. What."}}\nOutput: Ok.\n{FORM}Array[#Harbour]',
    "bookBerth": 'Books.\nParameters: {"harbourId": "Required. string. Which.", "days": "integer. How long.", '
    f'"note": "string. Words."}}\nOutput: Ok.\n{FORM}Object{{success, berth: Object{{id}}}}',
    "deleteBerth": f'Deletes.\nParameters: {{"id": "Required. string. Which."}}\nOutput: Ok.\n{FORM}Object{{message}}',
    "components": "As follows:\n#Harbour: Object{harbourId, name, tags: Array[string], near: Array[#Harbour]}",
}
SEARCH = ("searchHarbours", '{"query": "Nes"}')
BOOK = ("bookBerth", '{"harbourId": ${harbourId from searchHarbours}, "days": 2, "note": ""}')


def data_of(folder: Path, *procedures: list[tuple[str, str]]) -> Suite:
    """A suite in the layout of ToolAlpaca."""
    api = {
        "Name": "Harbours",
        "NLDocumentation": "Harbours.",
        "Function_Description": FUNCTIONS,
        "Instructions": [f"Question {number}?" for number in range(len(procedures))],
        "Golden_Answers": [
            [{"Action": name, "Action_Input": text} for name, text in procedure] for procedure in procedures
        ],
    }
    (folder / "golden.json").write_text(json.dumps([api]), encoding="utf-8")
    (folder / "golden.yaml").write_text(
        "{name: golden, title: t, loader: toolalpaca-golden, data: golden.json, licence: l, source: these tests}"
    )
    return load_suite(str(folder / "golden.yaml"), folder)


@pytest.mark.parametrize(
    ("form", "arguments", "value"),
    [
        ("Object{url, n: Object{a}}", {}, {"url": "url-1", "n": {"a": "a-1"}}),
        ("Array[Object{id, tags: Array[string]}]", {"id": 5}, [{"id": 5, "tags": ["tags-1"]}]),
        ("#A\n#A: Object{b: #B}\n#B: Object{success}", {}, {"b": {"success": True}}),
        ("#A\n#A: Object{again: #A}", {}, None),
        ("#Unknown", {}, "value-1"),
        ("Object{profile: Object}", {}, {"profile": {"success": True}}),
        ("", {}, {"success": True}),
        ("Object{{,]:", {}, {}),
    ],
)
def test_made_up_answers_have_the_form_that_is_described(form: str, arguments: Json, value: Any) -> None:
    made = synthesize(form, arguments)
    assert made == value or value is None
    assert len(json.dumps(made)) < 500


async def test_the_server_of_made_up_answers(tmp_path: Path) -> None:
    suite = data_of(tmp_path, [SEARCH, BOOK])
    transport = httpx.ASGITransport(create_synthetic_server(suite.trajectories))
    async with httpx.AsyncClient(transport=transport, base_url="http://tools") as client:
        OpenAPIV31SpecValidator((await client.get("/openapi.json")).json()).validate()
        harbours = (await client.post("/tools/searchHarbours", json={"query": "Nes"})).json()
        booked = await client.post("/tools/bookBerth", json={"harbourId": harbours[0]["harbourId"]})
        refused = await client.post("/tools/bookBerth", json={"days": 2})
    assert harbours[0]["harbourId"] == "harbourId-1"
    assert booked.json() == {"success": True, "berth": {"id": "id-1"}}
    assert (refused.status_code, refused.json()["detail"]) == (422, "give 'harbourId'")


def test_answers_of_the_complete_set_can_be_synthesized(data: Path) -> None:
    for recorded in load_suite(NAME, data).trajectories:
        assert recorded.answer_forms is not None
        assert recorded.answer_forms.keys() == {tool.name for tool in recorded.tools}
        for form in recorded.answer_forms.values():
            assert isinstance(synthesize(form, {}), dict | list)
