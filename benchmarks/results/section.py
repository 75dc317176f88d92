"""A section of the page of results: what a model did on the suites, out of the files of its runs."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alpha_umi.roles.turns import RoleName
from benchmarks.results.runs import MODES, Mode, Wanted
from benchmarks.results.tables import costs_table, decisions_table, ends_line, figures_table, whole_table
from evaluation.compare import compare
from evaluation.files import Format
from evaluation.files.predictions import read_predictions
from evaluation.files.step_run import RunRecord
from evaluation.results import (
    ScoreReport,
    comparison_report,
    left_out_sentence,
    score_report,
    trained_on_sentences,
    trajectory_report,
)
from evaluation.scoring import score
from evaluation.whole_run import WholeRunRecord, read_whole_run


def introduction(title: str, command: str, wanted: Wanted) -> str:
    """What was measured, by which command."""
    return (
        f"## {title}\n\n"
        f"Made by `{command}` on {machine()}: of each of these suites a sample of "
        f"{wanted.steps} steps, and of {wanted.trajectories} whole trajectories of at most {wanted.max_steps} steps "
        "where there is something to replay or to compute."
    )


def steps_part(wanted: Wanted, suite: str) -> str:
    """The steps of a suite in both modes. Raises `EvaluationError`."""
    read = {mode: read_predictions(wanted.file("steps", suite, mode), Format.RECORDS) for mode in MODES}
    scores: dict[Mode, ScoreReport] = {
        mode: score_report(score(each.pairs), each.about, each.costs) for mode, each in read.items()
    }
    difference = comparison_report(compare(read[MODES[0]].pairs, read[MODES[1]].pairs))
    about, known = scores[MODES[0]], read[MODES[0]].about
    return "\n\n".join(
        [
            f"### `{suite}`: {about.steps:,} steps of {about.trajectories:,} trajectories",
            *notes(*(each.about for each in read.values())),
            models_sentence({} if known is None else known.models),
            figures_table(scores, difference),
            decisions_table(scores),
            costs_table(scores),
        ]
    )


def whole_part(wanted: Wanted, suite: str) -> str:
    """The whole trajectories of a suite in both modes. Raises `EvaluationError`."""
    reports = {mode: trajectory_report(read_whole_run(wanted.file("whole", suite, mode))) for mode in MODES}
    return "\n\n".join(
        [
            f"### `{suite}`: {reports[MODES[0]].trajectories:,} whole trajectories",
            *notes(*(report.run for report in reports.values())),
            f"They ended as: {ends_line(reports)}.",
            whole_table(reports),
        ]
    )


def notes(*runs: RunRecord | WholeRunRecord | None) -> list[str]:
    """What no figure tells, each once: both modes are of one suite, and of the same models."""
    known = [run for run in runs if run is not None]
    left_out = [sentence for run in known if (sentence := left_out_sentence(run.left_out))]
    trained_on = [f"**Warning: {sentence}.**" for run in known for sentence in trained_on_sentences(run.models)]
    return list(dict.fromkeys([*(f"{sentence[0].upper()}{sentence[1:]}." for sentence in left_out), *trained_on]))


def models_sentence(models: Mapping[RoleName, Mapping[str, Any]]) -> str:
    """The model of each role, as its service tells it; nothing where none is known."""
    named = ", ".join(f"{role} {_described(model)}" for role, model in models.items())
    return f"Models: {named}." if named else ""


def _described(model: Mapping[str, Any]) -> str:
    """The name, and what else a text depends on."""
    known = {"template": model.get("template"), "tokens of an answer": model.get("answer_tokens")}
    told = ", ".join(f"{name}: {value}" for name, value in known.items() if value is not None)
    return f"`{model.get('id') or model.get('name')}`" + (f" ({told})" if told else "")


def machine() -> str:
    """The processors of this machine."""
    return f"{os.cpu_count()} processors ({_processor()})"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
