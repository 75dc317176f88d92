"""Seal-Tools' own figures, on calls with values computed by hand, and as the published program counts."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from alpha_umi.roles.caller import Call, parse_call, write_call
from alpha_umi.roles.turns import Turn
from cli.main import app
from evaluation.files.outputs import Prediction
from evaluation.files.published import Pair, pair
from evaluation.files.step_run import CaseRecord, OutputRecord, PredictionRecord, RunRecord
from evaluation.official.seal_tools import seal_tools_report
from recordings.cases import Reference, StepCase
from recordings.errors import EmptySuite
from recordings.suites.suite import load_suite

Made = tuple[str, dict[str, Any]]


def call(made: Made) -> Call:
    return parse_call(write_call(*made))


def step(request: str, number: int, wanted: Made, written: Made | str | None) -> Pair:
    """A step; what was written is a call, another decision, `unreadable`, or nothing at all."""
    reference = Reference("caller", "", call=call(wanted))
    case = StepCase(f"{request}/{number}", request, number, (), (Turn("user", request),), reference)
    if written is None:
        return pair(case, None)
    if written == "unreadable":
        return pair(case, Prediction((), "caller", unreadable="no call"))
    if isinstance(written, str):
        return pair(case, Prediction((), "conclusion", answer=written))
    return pair(case, Prediction((), "caller", call=call(written)))


PAIRS = [
    step("a", 1, ("tide", {"at": "Nes", "days": 2}), ("tide", {"at": "Nes", "days": "2"})),
    step("a", 2, ("moon", {}), ("moon", {"at": "Nes"})),
    step("b", 1, ("tide", {"at": "Nes"}), ("tide", {"at": "Oost", "unit": "m"})),
    step("b", 2, ("moon", {"on": "5"}), "It is full."),
    step("c", 1, ("tide", {"at": "Nes"}), ("wind", {"at": "Nes"})),
    step("d", 1, ("tide", {"at": "Nes"}), "unreadable"),
    step("e", 1, ("tide", {"at": "Nes"}), None),
]


def figures(pairs: Sequence[Pair]) -> dict[str, tuple[float | None, int]]:
    return {name: (each.value, each.n) for name, each in seal_tools_report(pairs, resamples=200).figures.items()}


def test_figures_by_hand() -> None:
    matches = figures(PAIRS)
    # Tools: 3 right of 4 written and 7 wanted. Parameters: 2 right of 6 written and 7 wanted.
    assert matches == {
        "format_acc": (3 / 5, 5),
        "tool_p": (3 / 4, 4),
        "tool_r": (3 / 7, 7),
        "tool_f1": (pytest.approx(6 / 11), 11),
        "parameter_p": (2 / 6, 6),
        "parameter_r": (2 / 7, 7),
        "parameter_f1": (pytest.approx(4 / 13), 13),
    }


def test_figures_lie_inside_their_intervals() -> None:
    report = seal_tools_report(PAIRS)
    for figure in report.figures.values():
        assert figure.value is not None
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high
    assert seal_tools_report(PAIRS) == report
    assert (report.requests, report.steps) == (5, 7)


def test_nothing_written_and_nothing_right() -> None:
    nothing = figures([step("a", 1, ("tide", {}), None)])
    assert (nothing["tool_p"], nothing["tool_r"], nothing["format_acc"]) == ((None, 0), (0, 1), (0, 1))
    assert nothing["parameter_r"] == (None, 0)
    wrong = figures([step("a", 1, ("tide", {"at": "Nes"}), ("wind", {"at": "Nes"}))])
    assert (wrong["tool_f1"], wrong["parameter_f1"]) == ((0, 2), (0, 2))
    with pytest.raises(EmptySuite):
        seal_tools_report([])


def test_a_repeated_tool_is_compared_with_its_first_call() -> None:
    twice = [
        step("a", 1, ("tide", {"at": "Nes"}), ("tide", {"at": "Nes"})),
        step("a", 2, ("tide", {"at": "Oost"}), ("tide", {"at": "Oost"})),
    ]
    assert figures(twice)["parameter_p"] == (0.5, 2)


def as_published(pairs: Sequence[Pair]) -> dict[str, float]:
    """Counted as the published program does: request by request, over lists of calls."""
    requests: dict[str, tuple[list[Call], list[Call]]] = {}
    for each in pairs:
        wanted, written = requests.setdefault(each.case.trajectory, ([], []))
        assert each.case.reference.call is not None
        wanted.append(each.case.reference.call)
        if each.prediction is not None and each.prediction.call is not None:
            written.append(each.prediction.call)
    api = {"right": 0, "written": 0, "wanted": 0}
    parameter = dict(api)
    for wanted, written in requests.values():
        api["wanted"] += len(wanted)
        parameter["wanted"] += sum(len(each.arguments) for each in wanted)
        for each in written:
            api["written"] += 1
            parameter["written"] += len(each.arguments)
            places = [place for place, gold in enumerate(wanted) if gold.name == each.name]
            if places:
                api["right"] += 1
                gold = wanted[places[0]].arguments
                parameter["right"] += sum(k in gold and str(v) == str(gold[k]) for k, v in each.arguments.items())
    matches = {}
    for name, counts in (("tool", api), ("parameter", parameter)):
        p, r = counts["right"] / counts["written"], counts["right"] / counts["wanted"]
        matches |= {f"{name}_p": p, f"{name}_r": r, f"{name}_f1": 2 * p * r / (p + r)}
    return matches


def test_the_published_way_of_counting_over_the_complete_suite(data: Path) -> None:
    chance = random.Random(3)
    pairs = []
    for case in load_suite("seal-tools", data).cases:
        reference = case.reference.call
        assert reference is not None
        retained = {name: value for name, value in reference.arguments.items() if chance.random() < 0.8}
        name = reference.name if chance.random() < 0.7 else chance.choice(case.tools).name
        written = Prediction((), "caller", call=call((name, retained))) if chance.random() < 0.9 else None
        pairs.append(pair(case, written))
    matches = seal_tools_report(pairs, resamples=100)
    for name, value in as_published(pairs).items():
        assert matches.figures[name].value == pytest.approx(value, abs=1e-12), name


def test_the_command(tmp_path: Path) -> None:
    only = PAIRS[0].case
    wrote = only.reference.call
    assert wrote is not None
    texts = (("planner", "Next: caller."), ("caller", wrote.text))
    outputs = [
        OutputRecord(role=role, prompt_sha256="0" * 64, text=text, prompt_tokens=1, completion_tokens=1, total_ms=1)  # type: ignore[arg-type]
        for role, text in texts
    ]
    about = RunRecord(suite="seal-tools", cases=1, constrained=True, template="toolbench", models={})
    records = (about, CaseRecord.of(only), PredictionRecord.of(only.id, outputs))
    file = tmp_path / "run.jsonl"
    file.write_text("".join(each.model_dump_json() + "\n" for each in records), encoding="utf-8")
    message = CliRunner().invoke(app, ["evaluate", "seal-tools", str(file), "--json"])
    assert (message.exit_code, json.loads(message.stdout)["figures"]["parameter_f1"]["value"]) == (0, 1)
    shown = CliRunner().invoke(app, ["evaluate", "seal-tools", str(file)])
    assert "1 step of 1 trajectory" in shown.stdout
    (line,) = (line for line in shown.stdout.splitlines() if line.startswith("tool F1"))
    assert line.split()[:4] == ["tool", "F1", "tool_f1", "1.0000"]
    broken = CliRunner().invoke(app, ["evaluate", "seal-tools", str(tmp_path / "none.jsonl")])
    assert broken.exit_code == 2
