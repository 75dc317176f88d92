"""Golden calls held beside what whole trajectories called: in order, with their arguments, and without harm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from support.made_up_trajectories import step, trajectory
from typer.testing import CliRunner

from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.roles.turns import Tool
from cli.main import app
from evaluation.errors import CasesDiffer
from evaluation.procedures import ASKS, NOT_CHECKED, matches, outcome, procedures_report, wanted_calls
from evaluation.replay.made_up import create_made_up_server, made_up
from evaluation.whole_run import AskedRecord, WholeRun, WholeRunRecord
from recordings.errors import EmptySuite, NotTheFormat
from recordings.suites.suite import Suite, load_suite
from recordings.trajectory import RecordedTrajectory

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


def went(*calls: tuple[str, Json] | tuple[str, Json, bool], **about: Any) -> Trajectory:
    """A trajectory that made these calls; the third of a call says that it failed."""
    steps = [
        step(index, "caller", tool=call[0], arguments=call[1], observation="{}", is_error=len(call) > 2 and call[2])
        for index, call in enumerate(calls)
    ]
    return trajectory(steps=[*steps, step(len(steps), "conclusion")], **about)


NES = ("searchHarbours", {"query": "nes "})
BERTH = ("bookBerth", {"harbourId": "7", "days": "2"})


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ((NES, BERTH), "made"),
        ((NES, ("searchHarbours", {"query": "Oost"}), BERTH), "made"),
        ((NES, NES, BERTH), "made"),
        ((NES, ("deleteBerth", {"id": "7"}, True), BERTH), "made"),
        ((NES, ("bookBerth", {}, True), BERTH), "made"),
        ((BERTH, NES), "another order"),
        ((NES,), "calls missing"),
        ((NES, ("bookBerth", BERTH[1], True)), "calls missing"),
        ((NES, ("bookBerth", {"harbourId": "7"})), "calls missing"),
        ((NES, ("bookBerth", BERTH[1] | {"note": "By the sea"})), "calls missing"),
        ((NES, ("bookBerth", BERTH[1] | {"days": 3})), "calls missing"),
        ((NES, BERTH, ("deleteBerth", {"id": "7"})), "could have harmed"),
        ((NES, BERTH, BERTH), "could have harmed"),
        ((NES, BERTH, ("checkoutCart", {})), "could have harmed"),
        ((NES, BERTH, ("listing_remove", {})), "could have harmed"),
        ((NES, BERTH, ("check_berth", {}), ("lookUpHarbour", {}), ("GETBerth", {}), ("view", {})), "made"),
        ((), "no call"),
    ],
)
def test_outcomes(tmp_path: Path, calls: tuple[Any, ...], found: str) -> None:
    (recorded,) = data_of(tmp_path, [SEARCH, BOOK]).trajectories
    wanted = wanted_calls(recorded)
    assert not isinstance(wanted, str)
    assert outcome(went(*calls), wanted) == found


@pytest.mark.parametrize(
    ("wanted", "given", "same"),
    [
        ({"query": "Nes"}, {"query": " NES"}, True),
        ({"query": "5"}, {"query": 5}, True),
        ({"query": 5.0}, {"query": 5}, True),
        ({"query": True}, {"query": "true"}, True),
        ({"query": ["a", {"b": 1}]}, {"query": ["A", {"b": "1"}]}, True),
        ({"query": "{start date}"}, {"query": "2026-11-21"}, True),
        ({"query": "Nes"}, {"query": "Oost"}, False),
        ({"query": "Nes"}, {}, False),
        ({"query": ["a"]}, {"query": ["a", "b"]}, False),
        ({"query": "a"}, {"query": ["a"]}, False),
        ({"query": {"a": 1}}, {"query": {"a": 1, "b": 2}}, False),
    ],
)
def test_when_arguments_match(tmp_path: Path, wanted: Json, given: Json, same: bool) -> None:
    (recorded,) = data_of(tmp_path, [("searchHarbours", json.dumps(wanted))]).trajectories
    calls = wanted_calls(recorded)
    assert not isinstance(calls, str)
    assert matches(calls[0], "searchHarbours", given) is same
    assert not matches(calls[0], "bookBerth", given)


def run_of(suite: Suite, *trajectories: Trajectory, more: int = 0) -> WholeRun:
    asked = tuple(
        AskedRecord(recorded=recorded.id, trajectory=each, events=[])
        for recorded, each in zip(suite.trajectories, trajectories, strict=False)
    )
    return WholeRun(WholeRunRecord(suite="golden", trajectories=len(asked) + more), asked)


def test_a_report(tmp_path: Path) -> None:
    ask = ("getDetails", '{"Question": "Which harbour?"}')
    broken = ("bookBerth", '{"harbourId": ${harbourId from "searchHarbours"')
    suite = data_of(tmp_path, [SEARCH], [SEARCH], [SEARCH, BOOK], [ask, SEARCH], [SEARCH, broken], [SEARCH], [ask])
    run = run_of(suite, went(NES), went(NES, answer=" "), went(NES), went(NES), went(NES), more=2)
    report = procedures_report(run, suite)
    figures = {name: (figure.value, figure.n) for name, figure in report.figures.items()}
    assert figures == {"golden_calls_made": (2 / 4, 4), "golden_calls_made_and_answered": (1 / 4, 4)}
    assert (report.outcomes, report.not_asked) == ({"made": 2, "calls missing": 1}, 1)
    assert report.not_measured == {ASKS: 2, NOT_CHECKED: 1}
    one = data_of(tmp_path, [SEARCH])
    failed = procedures_report(run_of(one, went(NES, status="exhausted")), one)
    assert [figure.value for figure in failed.figures.values()] == [1, 0]


def test_what_cannot_be_checked(tmp_path: Path) -> None:
    suite = data_of(tmp_path, [("getDetails", '{"Question": "Which?"}')])
    with pytest.raises(EmptySuite, match="no trajectory to check"):
        procedures_report(run_of(suite, went(NES)), suite)
    stranger = WholeRun(run_of(suite).about, (AskedRecord(recorded="stranger", trajectory=went(NES), events=[]),))
    with pytest.raises(CasesDiffer, match="stranger"):
        procedures_report(stranger, suite)
    with pytest.raises(CasesDiffer, match="is of 2 trajectories, and 'golden' has 1") as refused:
        procedures_report(run_of(suite, went(NES), more=1), suite)
    assert "ALPHA_UMI_DATA" in str(refused.value.remedy)
    with pytest.raises(NotTheFormat, match="no golden calls"):
        wanted_calls(RecordedTrajectory("x", (), ()))


def test_golden_calls_of_the_whole_set_are_found_right(data: Path) -> None:
    suite = load_suite(NAME, data)
    not_measured = {ASKS: 8, NOT_CHECKED: 2}
    filled = [
        [_filled(name, text) for name, text in each.procedure.calls] for each in suite.trajectories if each.procedure
    ]
    report = procedures_report(run_of(suite, *(went(*calls) for calls in filled)), suite)
    assert (report.outcomes, report.not_measured) == ({"made": 90}, not_measured)
    # 57 of them want one call.
    backwards = procedures_report(run_of(suite, *(went(*calls[::-1]) for calls in filled)), suite)
    assert backwards.outcomes == {"made": 57, "another order": 33}
    assert procedures_report(run_of(suite, *(went() for _ in filled)), suite).outcomes == {"no call": 90}


def _filled(name: str, text: str) -> tuple[str, Json]:
    filled = re.sub(r'"?\$\{[^{}"]*\}?"?', '"7"', text)
    try:
        return name, json.loads(filled)
    except ValueError:
        return name, {}


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
    made = made_up(form, arguments)
    assert made == value or value is None
    assert len(json.dumps(made)) < 500


async def test_the_server_of_made_up_answers(tmp_path: Path) -> None:
    suite = data_of(tmp_path, [SEARCH, BOOK])
    transport = httpx.ASGITransport(create_made_up_server(suite.trajectories))
    async with httpx.AsyncClient(transport=transport, base_url="http://tools") as client:
        OpenAPIV31SpecValidator((await client.get("/openapi.json")).json()).validate()
        found = (await client.post("/tools/searchHarbours", json={"query": "Nes"})).json()
        booked = await client.post("/tools/bookBerth", json={"harbourId": found[0]["harbourId"]})
        refused = await client.post("/tools/bookBerth", json={"days": 2})
    assert found[0]["harbourId"] == "harbourId-1"
    assert booked.json() == {"success": True, "berth": {"id": "id-1"}}
    assert (refused.status_code, refused.json()["detail"]) == (422, "give 'harbourId'")


def test_answers_of_the_whole_set_can_be_made_up(data: Path) -> None:
    for recorded in load_suite(NAME, data).trajectories:
        assert recorded.procedure is not None
        assert recorded.procedure.answers.keys() == {tool.name for tool in recorded.tools}
        for form in recorded.procedure.answers.values():
            assert isinstance(made_up(form, {}), dict | list)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = data_of(tmp_path, [SEARCH], [SEARCH])
    run = run_of(suite, went(NES), went())
    about = run.about.model_copy(update={"suite": str(tmp_path / "golden.yaml")})
    file = tmp_path / "run.jsonl"
    file.write_text("".join(each.model_dump_json() + "\n" for each in (about, *run.asked)), encoding="utf-8")
    monkeypatch.setenv("ALPHA_UMI_DATA", str(tmp_path))
    invoke: Callable[..., Any] = CliRunner().invoke
    told = json.loads(invoke(app, ["evaluate", "procedures", str(file), "--json"]).stdout)
    assert (told["outcomes"], told["figures"]["golden_calls_made"]["value"]) == ({"made": 1, "no call": 1}, 0.5)
    shown = invoke(app, ["evaluate", "procedures", str(file)]).stdout
    assert "golden calls made" in shown
    assert "outcomes: made 1, no call 1" in shown
    assert invoke(app, ["evaluate", "procedures", str(tmp_path / "none.jsonl")]).exit_code == 2


def test_names_are_those_that_models_see() -> None:
    long = "x" * 10 + "y" * 64
    recorded = RecordedTrajectory("a", (Tool(long),), ())
    assert isinstance(wanted_calls(replaced(recorded, (long, "{}"))), tuple)
    (wanted,) = wanted_calls(replaced(recorded, (long, "{}")))
    assert not isinstance(wanted, str)
    assert matches(wanted, "y" * 64, {})


def replaced(recorded: RecordedTrajectory, *calls: tuple[str, str]) -> RecordedTrajectory:
    from dataclasses import replace

    from recordings.trajectory import Procedure

    return replace(recorded, procedure=Procedure(calls, {}))
