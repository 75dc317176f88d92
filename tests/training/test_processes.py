"""Two processes on the CPU, started by accelerate's launcher, have the losses of one: replicated and sharded."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.tiny_training import World, write_config

from training.errors import DeviceMissing
from training.loop.losses import read_losses
from training.loop.model import ADAPTER
from training.recipes.loading import load_config, load_variant
from training.records import stage_folder
from training.run import RunRequest, train

pytestmark = pytest.mark.slow

LAUNCH = Path(__file__).parents[2] / "training" / "launch"
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0}

needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed: the extra training-deepspeed"
)


def launch(port: int, *arguments: str, program: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command with two processes."""
    what = ["-m", "cli.main"] if program is None else [program]
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(LAUNCH / "two-processes-cpu.yaml"),
        "--main_process_port", str(port), *what, *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(LAUNCH.parents[1])}
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)


def arguments(config: Path, world: World, output: Path) -> list[str]:
    return [
        "train", "alpha-umi", "--config", str(config), "--data", str(world.data), "--output", str(output),
        "--stages", "global,caller",
    ]  # fmt: skip


def losses(output: Path) -> list[float]:
    lines = [line for stage in ("global", "caller") for line in read_losses(output / stage / "losses.jsonl")]
    return [*(line["loss"] for line in lines), *(line["dev_loss"] for line in lines if "dev_loss" in line)]


@pytest.mark.parametrize(
    ("parallel", "lora"),
    [
        ("replicate", LORA),
        ("shard", LORA),
        ("shard", None),
        pytest.param("deepspeed", LORA, marks=needs_deepspeed),
        pytest.param("deepspeed", None, marks=needs_deepspeed),
    ],
)
def test_two_processes_have_the_losses_of_one(
    world: World, tmp_path: Path, free_port: int, parallel: str, lora: dict[str, object] | None
) -> None:
    config = write_config(tmp_path / "tiny.yaml", world.backbone, parallel=parallel, lora=lora)
    done = launch(free_port, *arguments(config, world, tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("storage of the roles") == 1
    one = write_config(tmp_path / "tiny.yaml", world.backbone, lora=lora)
    alone = RunRequest(
        load_variant("alpha-umi"), load_config(str(one)), world.data, tmp_path / "one", stages=("global", "caller")
    )
    train(alone)
    assert len(losses(tmp_path / "two")) == 9 + 3
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-3)
    record = json.loads((stage_folder(tmp_path / "two", "caller") / "stage.json").read_bytes())
    assert record["processes"] == 2
    name = ADAPTER if lora else "model.safetensors"
    first, second = (load_file(stage_folder(tmp_path / run, "caller") / name) for run in ("one", "two"))
    # A rounding that turns a tiny gradient's sign moves that weight by a whole step, and only that one.
    apart = sum(float((first[key] - second[key]).square().sum()) for key in first)
    assert apart < 1e-3 * sum(float(first[key].square().sum()) for key in first)


HELD = """
import sys
from pathlib import Path
import torch
from training.loop.model import load_model
from training.loop.processes import Processes
from training.recipes.loading import load_config

config = load_config(sys.argv[1])
processes = Processes(config, "cpu", bf16=False)
module = load_model(config, Path(config.backbone), None, seed=0, bf16=False)
total = sum(parameter.numel() for parameter in module.parameters())
held = sum(parameter.to_local().numel() for parameter in processes.prepare(module).parameters())
shares = processes.sum(held / total, 1 if 0.4 < held / total < 0.6 else 0)
# A file for each: lines of two processes on one stream run into one another.
Path(sys.argv[2], str(torch.distributed.get_rank())).write_text(f"{shares[0]} {shares[1]}")
processes.leave()
"""


def test_shards_divide_the_weights(world: World, tmp_path: Path, free_port: int) -> None:
    config = write_config(tmp_path / "tiny.yaml", world.backbone, parallel="shard", lora=None)
    program = tmp_path / "held.py"
    program.write_text(HELD)
    done = launch(free_port, str(config), str(tmp_path), program=str(program))
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["1.0 2.0"] * 2, done.stderr


STOPPED = """
import sys
from cli.training_view import RunView

report_step = RunView.on_step

def stopped(self, record):
    report_step(self, record)
    if record.step == 3:
        import os, signal
        os.kill(os.getpid(), signal.SIGTERM)

RunView.on_step = stopped
from cli.main import app
app(sys.argv[1:])
"""


@pytest.mark.parametrize("parallel", ["shard", pytest.param("deepspeed", marks=needs_deepspeed)])
def test_one_process_resumes_a_run_of_two(world: World, tmp_path: Path, free_port: int, parallel: str) -> None:
    """A stop request to one process stops both; the checkpoint of sharded weights is complete."""
    config = write_config(tmp_path / "tiny.yaml", world.backbone, parallel=parallel, lora=None)
    program = tmp_path / "stopped.py"
    program.write_text(STOPPED)
    ended = launch(free_port, *arguments(config, world, tmp_path / "run"), program=str(program))
    assert ended.returncode != 0
    assert ended.stderr.count("stopped after step 4 of 6") == 1
    assert (tmp_path / "run" / "global" / "checkpoints" / "step-00000004").is_dir()
    write_config(config, world.backbone, lora=None)
    variant, chosen = load_variant("alpha-umi"), load_config(str(config))
    train(RunRequest(variant, chosen, world.data, tmp_path / "run", stages=("global", "caller")))
    train(RunRequest(variant, chosen, world.data, tmp_path / "one", stages=("global", "caller")))
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "one"), rel=1e-3)


def test_deepspeed_that_is_not_installed_is_named(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    config = load_config(str(write_config(tmp_path / "tiny.yaml", world.backbone, parallel="deepspeed")))
    with pytest.raises(DeviceMissing, match="parallel is deepspeed, which is not installed"):
        train(RunRequest(load_variant("single-llm"), config, world.data, tmp_path / "run"))
