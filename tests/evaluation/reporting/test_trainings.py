"""Trainings are read from their folders and matched to runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.measured_steps import pairs_of, run_of
from support.synthetic_trainings import trained, training

from evaluation.files.step_run import write_run
from evaluation.page.blocks import Gallery, Paragraph
from evaluation.reporting.inputs import BootstrapOptions, StepsRun, read_runs
from evaluation.reporting.training import read_trainings, scaling_section, training_of, training_section
from recordings.errors import DataError, DuplicateId


def runs(folder: Path, *tokens: int) -> list[StepsRun]:
    """Runs of models, by their numbers of training tokens."""
    paths = []
    for amount in tokens:
        run = run_of(pairs_of({}))
        models = {"planner": trained(tokens=amount), "caller": trained(stage="global", tokens=amount)}
        paths.append(folder / f"{amount}.jsonl")
        write_run(paths[-1], type(run)(run.about.model_copy(update={"models": models}), run.cases, run.predictions))
    return [run for run in read_runs(paths, BootstrapOptions(100)) if isinstance(run, StepsRun)]


def test_a_training_is_read_up_to_a_line_that_was_cut(tmp_path: Path) -> None:
    (matches,) = read_trainings([training(tmp_path / "alpha-umi-0" / "run")])
    assert (matches.name, matches.costs.tokens) == ("alpha-umi-0", 1000)
    assert [line.step for line in matches.losses["planner"]] == [1, 2, 3]
    assert matches.losses["global"][-1].dev_loss == 1.5


def test_trainings_are_named_apart(tmp_path: Path) -> None:
    folders = [training(tmp_path / name / "run") for name in ("a", "b")]
    assert [each.name for each in read_trainings(folders)] == ["a", "b"]
    with pytest.raises(DuplicateId, match="is given twice"):
        read_trainings([*folders, folders[0] / ".." / "run"])


def test_a_run_finds_the_training_of_all_its_models(tmp_path: Path) -> None:
    trainings = read_trainings([training(tmp_path / str(tokens), tokens=tokens) for tokens in (1000, 2000)])
    of_500, of_1000, of_no_one = runs(tmp_path, 500, 1000, 7)
    assert training_of(of_500, trainings) is trainings[0]
    assert training_of(of_1000, trainings) is trainings[1]
    assert training_of(of_no_one, trainings) is None


def test_more_data_is_a_curve_and_without_it_the_section_says_how(tmp_path: Path) -> None:
    trainings = read_trainings([training(tmp_path / str(tokens), tokens=tokens) for tokens in (1000, 2000)])
    given = runs(tmp_path, 500, 1000)
    (gallery,) = scaling_section(given, trainings).blocks
    assert isinstance(gallery, Gallery)
    assert [chart.title for chart in gallery.charts] == [
        f"three: {name}" for name in ("Plan ACC", "Act. EM", "Arg. F1", "R-L")
    ]
    (message,) = scaling_section(given[:1], trainings).blocks
    assert isinstance(message, Paragraph)
    assert "--max-tokens" in message.text


def test_the_section_tells_costs_and_draws_losses(tmp_path: Path) -> None:
    section = training_section(read_trainings([training(tmp_path / "one", complete=False)]))
    message = repr(section.blocks)
    assert "reused from global of other" in message
    assert "not yet" in message
    assert "Losses of one" in message
    assert "--training" in repr(training_section([]))


@pytest.mark.parametrize(
    ("costs", "reply"),
    [
        (None, "is not the folder of a training"),
        ("[]", "costs.json"),
        ("{", "ends in the middle"),
        ('{"stages": {}}', "variant"),
    ],
)
def test_a_folder_that_is_none_is_refused(tmp_path: Path, costs: str | None, reply: str) -> None:
    if costs is not None:
        (tmp_path / "costs.json").write_text(costs)
    with pytest.raises(DataError, match=reply) as refused:
        read_trainings([tmp_path])
    assert "train run" in str(refused.value.remedy)


def test_fields_of_later_versions_do_no_harm(tmp_path: Path) -> None:
    folder = training(tmp_path / "one")
    costs = json.loads((folder / "costs.json").read_text())
    (folder / "costs.json").write_text(json.dumps(costs | {"watts": 7}))
    assert read_trainings([folder])[0].costs.variant == "alpha-umi"
