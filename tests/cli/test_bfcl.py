"""`evaluate bfcl` after `evaluate generate`: questions and verdicts of the real package, scripted roles."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.serving_on_loopback import Serve
from support.system import Roles, call, serve_roles
from typer.testing import Result

from alpha_umi.serving.scripted import Rule
from evaluation.official.bfcl import CheckerMissing, checker_python
from recordings.formats import bfcl

pytestmark = pytest.mark.usefixtures("quiet")

Invoke = Callable[..., Result]
SUITE = """\
name: some
title: Some questions
loader: bfcl
data: some
parts: [simple_python, irrelevance]
licence: Apache-2.0
source: bfcl-eval
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a suite of the first two questions of two categories, as the package has them."""
    try:
        python = checker_python(os.environ)
    except CheckerMissing as missing:
        pytest.skip(f"{missing.message}; {missing.remedy}")
    (package,) = python.parents[1].glob("lib/python*/site-packages/bfcl_eval/data")
    for category in ("simple_python", "irrelevance"):
        for place, file in enumerate(bfcl.files(package, category)):
            lines = file.read_text(encoding="utf-8").splitlines(keepends=True)[:2]
            to = bfcl.files(tmp_path / "some", category)[place]
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text("".join(lines), encoding="utf-8")
    (tmp_path / "some.yaml").write_text(SUITE, encoding="utf-8")
    monkeypatch.setenv("ALPHA_UMI_DATA", str(tmp_path))
    return tmp_path / "some.yaml"


def triangles(serve: Serve) -> Roles:
    """Roles that compute the area of a triangle, whatever is asked, but give up on equations."""
    return serve_roles(
        serve,
        planner=[
            Rule(["Nothing helps. Next: give up."], when="quadratic equation"),
            Rule(["I compute it. Next: caller."]),
        ],
        caller=[Rule([call("calculate_triangle_area", {"base": 10, "height": 5})])],
        summarizer=[Rule(["It is 25."])],
    )


def test_predictions_are_judged_by_the_package(invoke: Invoke, suite: Path, serve: Serve) -> None:
    roles, file = triangles(serve), suite.parent / "run.jsonl"
    addresses = ("--planner-url", roles.planner, "--caller-url", roles.caller, "--summarizer-url", roles.summarizer)
    made = invoke("evaluate", "generate", "--suite", str(suite), "--output", str(file), "--unconstrained", *addresses)
    assert made.exit_code == 0, made.stderr
    text = invoke("evaluate", "bfcl", str(file), "--json")
    assert text.exit_code == 0, text.stderr
    matches = json.loads(text.stdout)["categories"]
    assert {name: (each["valid"], each["n"], each["errors"]) for name, each in matches.items()} == {
        "simple_python": (1, 2, {"simple_function_checker:wrong_func_name": 1}),
        "irrelevance": (1, 2, {"irrelevance_error:decoder_success": 1}),
    }
    ours = json.loads(invoke("evaluate", "score", str(file), "--json").stdout)["figures"]
    assert (ours["call_match"]["value"], ours["plan_em"]["value"]) == (0.5, 0.75)
