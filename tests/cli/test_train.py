"""`alpha-umi train prepare`: tables on standard output, errors on standard error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.synthetic_data import mixture, write_json, write_tool_set
from typer.testing import Result

from training.examples import read_record

Invoke = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file of a mixture; its data, two questions, is where the environment says."""
    monkeypatch.setenv("ALPHA_UMI_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    write_tool_set(tmp_path, "Sea__tides", ["When is high tide?", "When is low tide?"])
    return str(write_json(tmp_path / "own.yaml", mixture(seed=7)))


def prepare(invoke: Invoke, config: str, model: Path, *more: str) -> Result:
    folder = Path(config).parent / "prepared"
    return invoke("train", "prepare", "--config", config, "--output", str(folder), "--backbone", str(model), *more)


def test_what_was_prepared_is_shown(invoke: Invoke, config: str, embedded_model: Path) -> None:
    result = prepare(invoke, config, embedded_model, "--context", "800")
    assert result.exit_code == 0, result.stderr
    record = read_record(Path(config).parent / "prepared")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["tides", "train", "2", "4", "4", "2", "2"] in lines
    assert f"seed 7, 800 tokens, digest {record.digest}" in result.stdout


def test_json_is_the_record(invoke: Invoke, config: str, embedded_model: Path) -> None:
    result = prepare(invoke, config, embedded_model, "--json")
    written = (Path(config).parent / "prepared" / "dataset.json").read_text()
    assert json.loads(result.stdout) == json.loads(written)


def test_broken_entries_are_an_error_unless_they_are_skipped(
    invoke: Invoke, config: str, embedded_model: Path, tmp_path: Path
) -> None:
    write_json(tmp_path / "g.json", [{"conversations": [], "tools": ""}])
    write_json(Path(config), mixture(sources=[*mixture()["sources"], _glaive()]))
    refused = prepare(invoke, config, embedded_model)
    assert refused.exit_code == 2
    assert "g.json, entry 1: conversations" in refused.stderr
    assert "--skip-broken" in refused.stderr
    skipped = prepare(invoke, config, embedded_model, "--skip-broken")
    assert skipped.exit_code == 0, skipped.stderr
    assert "1 broken entries were skipped" in skipped.stdout
    assert ["glaive", "trajectories", "broken", "1"] in [line.split() for line in skipped.stdout.splitlines()]


def test_a_folder_that_is_there_and_data_that_is_not(invoke: Invoke, config: str, embedded_model: Path) -> None:
    assert prepare(invoke, config, embedded_model, "--data", "/nowhere").exit_code == 2
    (Path(config).parent / "prepared").mkdir()
    result = prepare(invoke, config, embedded_model)
    assert (result.exit_code, "exists already" in result.stderr) == (1, True)


def _glaive() -> dict[str, str]:
    return {"name": "glaive", "format": "llama-factory", "data": "g.json", "licence": "none"}
