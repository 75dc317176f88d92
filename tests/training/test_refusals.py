"""Refusals of training and preparation on the command line: message, exit code, and no partial files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.synthetic_data import FIREACT, mixture, rotbench_rows, tree, write_json, write_lines, write_tool_set
from support.tiny_training import World, write_config, write_data
from typer.testing import CliRunner, Result

from cli.main import app
from training.errors import CannotWrite
from training.loop.losses import draw
from training.records import stage_folder

QUESTIONS = ["When is high tide?", "When is low tide?"]


def invoke(*arguments: str) -> Result:
    # Messages are folded where a terminal ends.
    return CliRunner().invoke(app, ["train", *arguments], env={"COLUMNS": "1000"})


def training(world: World, output: Path, *more: str) -> Result:
    return invoke(
        "single-llm", "--config", str(world.config), "--data", str(world.data), "--output", str(output), *more
    )


def no_examples(world: World) -> None:
    write_data(world.data, trained=0)


def no_end_of_turn(world: World) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = world.backbone / name
        path.write_text(path.read_text().replace("<|im_end|>", "<|other|>"))


def no_gpu(world: World) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    write_config(world.config, world.backbone, device="cuda")


def sliding_window(world: World) -> None:
    settings = world.backbone / "config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_bytes()), "sliding_window": 64}))
    write_config(world.config, world.backbone, prefixes="blocks")


def broken_line(world: World) -> None:
    path = world.data / "train" / "backbone.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "{oh\n", *lines[2:]]))


def broken_record(world: World) -> None:
    (world.data / "dataset.json").write_text('{"mixture": ')


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_examples, "has no training example for backbone"),
        (no_end_of_turn, "'<|im_end|>'"),
        (no_gpu, "device is cuda, and this machine has no GPU"),
        (sliding_window, "a layer of the backbone sees 64 tokens only"),
        (broken_line, "the examples are not those"),
        (broken_record, "dataset.json"),
    ],
)
def test_a_training_that_cannot_be(
    prepared: World, tmp_path: Path, spoil: Callable[[World], None], message: str
) -> None:
    spoil(prepared)
    output = tmp_path / "run"
    result = training(prepared, output)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "→" in result.stderr
    # A stage may be refused when the run is known already; no weights are there, and nothing with a passing name.
    assert {path.name for path in output.rglob("*")} <= {"run.json"}


def test_a_run_of_another_config_stays_as_it_is(prepared: World, tmp_path: Path) -> None:
    output = tmp_path / "run"
    assert training(prepared, output).exit_code == 0
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    write_config(prepared.config, prepared.backbone, clip=0.5)
    result = training(prepared, output)
    assert result.exit_code == 2
    assert "config.clip was 1.0 and is 0.5" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before


@pytest.mark.parametrize("content", ["{", "[]", "{}", "\xff"])
def test_a_run_whose_record_is_damaged(prepared: World, tmp_path: Path, content: str) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / "run.json").write_text(content, encoding="latin-1")
    result = training(prepared, output)
    assert result.exit_code == 2, result.output
    assert f"{output / 'run.json'} cannot be read" in result.stderr
    assert [path.name for path in output.iterdir()] == ["run.json"]


@pytest.mark.parametrize("content", ["{", "[]", '{"identity": {}}', "\xff"])
def test_a_stage_whose_record_is_damaged(prepared: World, tmp_path: Path, content: str) -> None:
    output = tmp_path / "run"
    record = stage_folder(output, "global") / "stage.json"
    record.parent.mkdir(parents=True)
    record.write_text(content, encoding="latin-1")
    result = training(prepared, output)
    assert result.exit_code == 2, result.output
    assert f"{record} cannot be read" in result.stderr
    assert f"→ remove {record.parent}, and train the stage again" in result.stderr


def test_curves_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotWrite, match=r"losses\.png cannot be written"):
        draw(tmp_path / "file" / "losses.png", {"global": [{"step": 1, "loss": 2.0, "dev_loss": 1.0}]})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_tool_set(tmp_path / "data", "Sea__tides", QUESTIONS)
    return tmp_path / "data"


def preparing(data: Path, model: Path, **fields: object) -> Result:
    config = write_json(data.parent / "own.yaml", mixture(**fields))
    return invoke(
        "prepare", "--config", str(config), "--data", str(data), "--backbone", str(model), "--output",
        str(data.parent / "out" / "prepared"),
    )  # fmt: skip


def other(form: str, name: str) -> dict[str, object]:
    return {"sources": [{"name": "other", "format": form, "data": name, "licence": "none"}]}


def missing_column(data: Path) -> dict[str, object]:
    write_json(data / "f.json", [FIREACT[0], {"instruction": "Who?"}])
    return other("fireact", "f.json")


def wrong_column(data: Path) -> dict[str, object]:
    write_json(data / "f.json", [FIREACT[0] | {"output": 3}])
    return other("fireact", "f.json")


def unknown_role(data: Path) -> dict[str, object]:
    rows = rotbench_rows("Whose turn is it?")
    rows[0]["conversations"][2]["from"] = "oracle"
    path = write_lines(data / "tides" / "Sea__odd.jsonl", rows)
    path.with_name("Sea__odd.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    return {}


def odd_order(data: Path) -> dict[str, object]:
    turns = [{"from": "user", "value": "Look."}, {"from": "conclusion", "value": "Seen."}]
    write_json(data / "p.json", [{"tools": [], "instruction": "Look.", "conversations": turns}])
    return other("toolbench", "p.json")


def broken_json(data: Path) -> dict[str, object]:
    (data / "sums.jsonl").write_text('{"question": "1+1?", "answer": "<<1+1=2>>\\n#### 2"}\n{"question": oh}\n')
    return other("gsm8k", "sums.jsonl")


def nothing_left(data: Path) -> dict[str, object]:
    write_json(data / "long" / "1.json", tree("Nothing?"))
    return other("toolbench-trees", "long")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (missing_column, "f.json, entry 2: output: Field required"),
        (wrong_column, "f.json, entry 1: output: Input should be a valid string"),
        (unknown_role, "Sea__odd.jsonl.gz, line 1: conversations.2.from"),
        (odd_order, "turn 2 is the conclusion's and follows one of the user"),
        (broken_json, "sums.jsonl, line 2 is not JSON"),
        (nothing_left, "a tree without a chain"),
    ],
)
def test_data_that_cannot_be_prepared(
    data: Path, embedded_model: Path, spoil: Callable[[Path], dict[str, object]], message: str
) -> None:
    result = preparing(data, embedded_model, **spoil(data))
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "→" in result.stderr
    assert not list((data.parent / "out").rglob("*"))


def test_a_backbone_without_the_end_of_turn_is_not_prepared_for(data: Path, embedded_model: Path) -> None:
    result = preparing(data, embedded_model, template="toolbench")
    assert result.exit_code == 2
    assert "'</s>'" in result.stderr
    assert not list((data.parent / "out").rglob("*"))


@pytest.mark.parametrize("content", ["{", "{}", '"tokens"'])
def test_a_backbone_whose_tokenizer_is_damaged_is_not_prepared_for(data: Path, tmp_path: Path, content: str) -> None:
    write_json(tmp_path / "model" / "tokenizer.json", {}).write_text(content)
    result = preparing(data, tmp_path / "model")
    assert result.exit_code == 2, result.output
    assert f"{tmp_path / 'model'}: its tokenizer cannot be loaded" in result.stderr


def test_a_cache_that_cannot_take_the_backbone(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ALPHA_UMI_CACHE", str(tmp_path / "file"))
    config = write_config(tmp_path / "embedded.yaml", Path("smollm2-135m-instruct"))
    prepared = invoke("prepare", "--output", str(tmp_path / "data"))
    trained = invoke("single-llm", "--config", str(config), "--data", str(world.data), "--output", str(tmp_path / "r"))
    for result in (prepared, trained):
        assert result.exit_code == 1, result.output
        assert "name another folder in ALPHA_UMI_CACHE" in result.stderr


def test_what_was_skipped_stands_in_the_record(data: Path, embedded_model: Path) -> None:
    config = write_json(data.parent / "own.yaml", mixture(**broken_json(data)))
    output = data.parent / "prepared"
    result = invoke(
        "prepare", "--config", str(config), "--data", str(data), "--backbone", str(embedded_model), "--output",
        str(output), "--skip-broken",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    [broken] = json.loads((output / "dataset.json").read_text())["sources"]["other"]["broken"]
    assert f"{data / 'sums.jsonl'}, line 2" in broken
