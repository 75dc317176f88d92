"""ToolBench's questions: tools have the published names and schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.toolbench_server import RECORDED, queries_file

from alpha_umi.roles.turns import Turn
from evaluation.replay.recordings import compatible_groups
from evaluation.replay.tool_server import tools_document
from evaluation.run.steps import plan_task
from orchestrator.tools.model import EffectClass
from orchestrator.tools.openapi.parse import parse_document
from recordings.errors import CutShort, EmptySuite, NotTheFormat, UnknownSuite
from recordings.formats.toolbench_queries import QueryApi, api_tool, api_tools, python_name, standardize
from recordings.suites.suite import load_suite, suite_files
from recordings.trajectory import RecordedTrajectory


def api(**fields: object) -> QueryApi:
    given = {
        "category_name": "Data", "tool_name": "Keyword Analysis", "api_name": "Query Keywords", "api_description": "",
        "required_parameters": [], "optional_parameters": [],
    }  # fmt: skip
    return QueryApi.model_validate(given | fields)


def parameter(name: str, kind: str = "STRING", default: object = "", description: str = "") -> dict[str, object]:
    return {"name": name, "type": kind, "description": description, "default": default}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Kick.com API | Kick API", "kick_com_api_kick_api"),
        ("__Über  99__", "ber_99"),
        ("168predict", "get_168predict"),
        ("GetImage", "getimage"),
        ("!?", ""),
    ],
)
def test_names_are_standardized(given: str, name: str) -> None:
    assert standardize(given) == name


@pytest.mark.parametrize(("given", "name"), [("id", "is_id"), ("From", "is_from"), ("ids", "ids"), ("AND", "is_and")])
def test_names_that_python_has_are_changed(given: str, name: str) -> None:
    assert python_name(given) == name


def test_the_tools_are_the_published_ones(tmp_path: Path) -> None:
    suite = load_suite(str(queries_file(tmp_path)), tmp_path)
    published = json.loads((RECORDED / "converted.json").read_text(encoding="utf-8"))["1073"]
    (trajectory,) = [each for each in suite.trajectories if each.id == "G1_instruction/1073"]
    assert trajectory.instruction == published["query"]
    shown = [getattr(tool, "function", None) for tool in trajectory.tools]
    assert shown == published["available_tools"][:-1]
    assert published["available_tools"][-1]["name"] == "Finish"


def test_types_and_what_may_be_left_out() -> None:
    required = [parameter("ID", "NUMBER", 5), parameter("day", "DATE (YYYY-MM-DD)"), parameter("on", "BOOLEAN")]
    tool = api_tool(api(required_parameters=required, optional_parameters=[parameter("q", description="x" * 300)]))
    assert tool.parameters["required"] == ["is_id", "day", "on"]
    kinds = {name: schema["type"] for name, schema in tool.parameters["properties"].items()}
    assert kinds == {"is_id": "integer", "day": "string", "on": "boolean", "q": "string"}
    assert tool.parameters["properties"]["q"]["description"] == "x" * 256
    assert tool.function["parameters"]["properties"]["is_id"]["example_value"] == 5
    assert tool.function["parameters"]["optional"] == ["q"]


def test_without_a_required_parameter_there_is_none() -> None:
    assert api_tool(api(optional_parameters=[parameter("q")])).parameters == {"type": "object", "properties": {}}


def test_a_long_name_keeps_its_end_and_two_of_one_name_are_one() -> None:
    long = "x" * 60
    tools = api_tools([api(api_name=f"Today {long}"), api(api_name=f"Tomorrow {long}"), api(api_name="Other")])
    assert [tool.name for tool in tools] == [f"{'x' * 43}_for_keyword_analysis", "other_for_keyword_analysis"]
    assert tools[0].api_name == f"today_{long}"
    cut = api_tool(api(api_name=f"a_{'y' * 42}"))
    assert (cut.function["name"], cut.name) == (f"_{'y' * 42}_for_keyword_analysis", f"{'y' * 42}_for_keyword_analysis")


async def test_there_are_no_steps_and_there_are_parts(tmp_path: Path) -> None:
    path = queries_file(tmp_path)
    suite = load_suite(f"{path}:G1_instruction", tmp_path)
    assert (len(suite.trajectories), suite.cases) == (2, ())
    assert suite_files(str(path), tmp_path)[2:] == [tmp_path / "queries" / "G1_instruction.json"]
    with pytest.raises(UnknownSuite, match="no part 'G9'"):
        load_suite(f"{path}:G9", tmp_path)
    with pytest.raises(EmptySuite, match="no recorded step"):
        await plan_task(None, suite, constrained=True)  # type: ignore[arg-type]


def test_tools_of_one_name_and_another_category_are_not_on_offer_together() -> None:
    first, second = (
        RecordedTrajectory(category, api_tools([api(category_name=category)]), (Turn("user", "What?"),))
        for category in ("Sports", "Media")
    )
    assert first.tools[0].name == second.tools[0].name
    assert compatible_groups([first, second, first]) == [(first, first), (second,)]


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("[]", EmptySuite, "no trajectory"),
        ('[{"query": "', CutShort, "ends in the middle"),
        ('[{"query": "What?", "query_id": 1, "api_list": []}]', NotTheFormat, "entry 1: api_list"),
        ('[{"query": "", "query_id": 1, "api_list": [{}]}]', NotTheFormat, "entry 1: query"),
    ],
)
def test_broken_data(tmp_path: Path, text: str, error: type[Exception], reason: str) -> None:
    path = queries_file(tmp_path)
    (tmp_path / "queries" / "G1_instruction.json").write_text(text)
    with pytest.raises(error, match=reason):
        load_suite(str(path), tmp_path)


def test_an_orchestrator_takes_every_published_question(data: Path) -> None:
    suite = load_suite("stabletoolbench-queries", data)
    assert len(suite.trajectories) == 765
    for group in compatible_groups(suite.trajectories):
        tools = {tool.name: tool for each in group for tool in each.tools}
        document = json.dumps(tools_document("ToolBench", list(tools.values()))).encode()
        operations, left_out = parse_document(
            document, source_name="t", base_url="http://127.0.0.1:1", default_effect=EffectClass("read")
        )
        assert {operation.tool.name for operation in operations} == set(tools)
        assert not left_out
