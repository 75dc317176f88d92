"""The mixture file in `training/README.md` is valid."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path

import pytest
from support.synthetic_data import own_folder, own_trajectory
from typer.testing import CliRunner

import training
from cli.main import app
from recordings.formats.source import FORMATS
from training.mixture import load_mixture
from training.prepare import prepare
from training.recipes.loading import load_config

DOCUMENT = (Path(training.__file__).parent / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def example(tmp_path: Path) -> Path:
    (example,) = re.findall(r"```yaml\n(name: ours\n.*?)```", DOCUMENT, re.DOTALL)
    path = tmp_path / "ours.yaml"
    path.write_text(example, encoding="utf-8")
    return path


def test_the_mixture_in_the_document_prepares_trajectories_of_ones_own(
    tmp_path: Path, example: Path, embedded_model: Path
) -> None:
    exported = [own_trajectory(f"t{number}", instruction=f"Look {number} times.") for number in range(50)]
    own_folder(tmp_path / "data" / "ours", *exported, indent=2)
    record = prepare(load_mixture(str(example)), tmp_path / "data", embedded_model, tmp_path / "prepared")
    trajectories = record.sources["ours"].trajectories
    assert sum(trajectories.values()) == 50
    assert 0 < trajectories["dev"] < 15


def test_what_the_mixture_in_the_document_leaves_to_choose_can_be_chosen(example: Path) -> None:
    chosen = re.sub(r"^( *)# (?=overlaps|suites|- )", r"\1", example.read_text(encoding="utf-8"), flags=re.MULTILINE)
    example.write_text(chosen, encoding="utf-8")
    mixture = load_mixture(str(example))
    assert (mixture.overlaps, mixture.suites) == ("overlaps.tsv", ("./measured.yaml",))
    assert [(source.name, source.at_most) for source in mixture.sources] == [("ours", 2000), ("rotbench-gpt4", 100)]


def test_the_session_names_files_and_options_that_are_there() -> None:
    session = DOCUMENT.partition("### Your own trajectories")[2].partition("## Variants")[0]
    commands = [shlex.split(each, comments=True) for each in re.findall(r"^    (alpha-umi .*)$", session, re.MULTILINE)]
    assert commands[-1] == ["alpha-umi", "up", "--models", "models/ours"]
    help_of = CliRunner()
    for _, *words in commands:
        path = list(takewhile(lambda word: not word.startswith("-"), words))
        path = path[:2] if path[0] == "train" else path[:1]
        path = ["train", "run"] if path == ["train", "alpha-umi"] else path
        text = help_of.invoke(app, [*path, "--help"], env={"COLUMNS": "200"}).output
        assert all(word in text for word in words if word.startswith("--"))
    pattern, replacement, config = re.findall(r"sed -E 's/(.*?)/(.*?)/' training/configs/(\S+)\.yaml >", session)[0]
    assert all(re.search(f"{pattern},", f"epochs: {made.epochs},") for made in load_config(config).settings.values())
    assert replacement == "epochs: 3"


def test_every_format_says_where_its_data_comes_from() -> None:
    table = DOCUMENT.partition("### The mixture's file")[0]
    named = re.findall(r"^\| `([a-z0-9-]+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(FORMATS)
