"""Training a variant: completed, interrupted, resumed, and refused."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_training import World, convert_elsewhere, digests, write_config, write_data

from alpha_umi.serving.manifest import MANIFEST_FILE, load_manifest, write_manifest
from recordings.suites.suite import suite_digests
from training.errors import CannotWrite, DeviceMissing, LossNotFinite, NothingLeft, RunDiffers, Stopped, TrainingError
from training.loop import checkpoint
from training.loop.losses import read_losses
from training.loop.model import ADAPTER
from training.loop.observer import NullObserver, StepRecord
from training.recipes.loading import load_config, load_variant
from training.records import stage_folder
from training.run import RunRequest, train

pytestmark = pytest.mark.slow


def request(world: World, output: Path, variant: str = "single-llm", **changed: Any) -> RunRequest:
    request = RunRequest(load_variant(variant), load_config(str(world.config)), world.data, output)
    return replace(request, **changed)


def losses(output: Path, stage: str = "global") -> list[float]:
    return [line["loss"] for line in read_losses(output / stage / "losses.jsonl")]


class StopAfter(NullObserver):
    """Requests a stop, or does something else, after a step."""

    def __init__(self, step: int, then: Callable[[], object] = lambda: None) -> None:
        self.stop, self._step, self._then = False, step, then

    def on_step(self, record: StepRecord) -> None:
        if record.step == self._step:
            self.stop = True
            self._then()


@pytest.fixture(scope="session")
def complete_run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run of the variant with all stages."""
    output = tmp_path_factory.mktemp("complete")
    train(request(world, output, "alpha-umi"))
    return output


def test_every_stage_leaves_a_model_and_its_costs(complete_run: Path, world: World) -> None:
    for stage, steps in (("global", 6), ("planner", 3), ("caller", 3), ("summarizer", 3)):
        record = json.loads((stage_folder(complete_run, stage) / "stage.json").read_bytes())
        lines = read_losses(complete_run / stage / "losses.jsonl")
        assert [line["step"] for line in lines] == list(range(1, steps + 1))
        assert record["steps"] == steps
        assert record["tokens"] == lines[-1]["tokens"]
        assert record["trained_on"] == sorted(digests())
        assert lines[-1]["dev_loss"] < 12
        assert not (complete_run / stage / "checkpoints").exists()
    assert losses(complete_run)[-1] < losses(complete_run)[0] / 2
    assert (complete_run / "losses.png").read_bytes().startswith(b"\x89PNG")
    costs = json.loads((complete_run / "costs.json").read_bytes())
    assert costs["complete"] is True
    assert list(costs["stages"]) == ["global", "planner", "caller", "summarizer"]
    assert costs["tokens"] == sum(stage["tokens"] for stage in costs["stages"].values())
    parameters = sum(tensor.numel() for tensor in load_file(stage_folder(complete_run, "planner") / ADAPTER).values())
    size = (world.backbone / "model.safetensors").stat().st_size
    assert costs["storage_ratio"] == pytest.approx(1 + 3 * 2 * parameters / size, abs=1e-3)


def test_a_local_stage_starts_where_the_global_one_ended(complete_run: Path, world: World, tmp_path: Path) -> None:
    """Its first loss is that of the trained model; from the backbone it would be much higher."""
    train(request(world, tmp_path / "alone", "multi-llm-one-stage", stages=("planner",)))
    assert losses(complete_run, "planner")[0] < losses(tmp_path / "alone", "planner")[0] * 0.75


def test_a_complete_run_is_left_alone(complete_run: Path, world: World) -> None:
    before = {path: path.stat().st_mtime_ns for path in complete_run.rglob("*.safetensors")}
    train(request(world, complete_run, "alpha-umi"))
    assert {path: path.stat().st_mtime_ns for path in complete_run.rglob("*.safetensors")} == before


@pytest.mark.parametrize("step", [1, 3])
def test_a_run_that_was_stopped_goes_on_with_the_same_losses(
    complete_run: Path, world: World, tmp_path: Path, step: int
) -> None:
    """With dropout, so that random states must be restored too."""
    watch = StopAfter(step)
    run_request = request(world, tmp_path, "alpha-umi", stages=("global",))
    with pytest.raises(Stopped, match=f"stopped after step {step + 1} of 6"):
        # A stop that is requested after a step takes effect in the next one.
        train(replace(run_request, observer=watch, stop=lambda: watch.stop))
    train(run_request)
    assert losses(tmp_path) == losses(complete_run)
    weights = (stage_folder(folder, "global") / ADAPTER for folder in (tmp_path, complete_run))
    first, second = map(load_file, weights)
    assert all(torch.equal(first[name], second[name]) for name in second)


@pytest.mark.parametrize("lora", [None, {"rank": 4, "alpha": 8}])
def test_a_run_may_change_between_shared_and_repeated_prefixes(
    world: World, tmp_path: Path, lora: dict[str, object] | None
) -> None:
    settings = {"global": {"learning_rate": 1e-3, "epochs": 1, "batch": 4, "warmup": 0.25, "pack": 2}}

    def configured(prefixes: str) -> Any:
        path = tmp_path / "tiny.yaml"
        return load_config(
            str(write_config(path, world.backbone, lora=lora, settings=settings, prefixes=prefixes, micro_tokens=700))
        )

    train(request(world, tmp_path / "repeated", config=configured("repeated")))
    watch = StopAfter(1)
    with pytest.raises(Stopped):
        train(request(world, tmp_path / "changed", config=configured("auto"), observer=watch, stop=lambda: watch.stop))
    train(request(world, tmp_path / "changed", config=configured("repeated")))
    train(request(world, tmp_path / "shared", config=configured("blocks")))
    assert losses(tmp_path / "changed") == pytest.approx(losses(tmp_path / "repeated"), rel=1e-4)
    assert losses(tmp_path / "shared") == pytest.approx(losses(tmp_path / "repeated"), rel=1e-4)
    repeated, shared = (
        json.loads((stage_folder(tmp_path / name, "global") / "stage.json").read_bytes())
        for name in ("repeated", "shared")
    )
    assert repeated["computed_tokens"] == repeated["tokens"] == shared["tokens"]
    assert shared["computed_tokens"] < 0.75 * shared["tokens"]


def test_flex_attention_needs_a_gpu(world: World, tmp_path: Path) -> None:
    config = load_config(str(write_config(tmp_path / "tiny.yaml", world.backbone, prefixes="flex")))
    with pytest.raises(DeviceMissing, match="FlexAttention on GPUs only"):
        train(request(world, tmp_path / "run", config=config))


def test_kill_9_and_the_same_losses_follow(complete_run: Path, world: World, tmp_path: Path) -> None:
    output = tmp_path / "run"
    command = train_command(world, output, "alpha-umi", "--stages", "global")
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED_AFTER_STEP_3, *command[3:]], stderr=subprocess.PIPE, text=True
    )
    _, errors = child.communicate(timeout=120)
    assert child.returncode == -signal.SIGKILL, errors
    assert len(losses(output)) == 3
    assert [path.name for path in sorted((output / "global" / "checkpoints").iterdir())] == ["step-00000002"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "from step 3" in again.stderr
    assert losses(output) == losses(complete_run)


KILLED_AFTER_STEP_3 = """
import os, signal, sys
from cli.main import app
from cli.training_view import RunView

def killed(self, record):
    if record.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)

RunView.on_step = killed
app(sys.argv[1:])
"""


def test_ctrl_c_leaves_a_checkpoint_and_exits_with_130(world: World, tmp_path: Path) -> None:
    command = train_command(world, tmp_path / "run", "single-llm")
    program = KILLED_AFTER_STEP_3.replace("SIGKILL", "SIGINT").replace("== 3", "== 1")
    ended = subprocess.run([sys.executable, "-c", program, *command[3:]], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 130, ended.stderr
    assert "stopped after step 2 of 6" in ended.stderr
    assert (tmp_path / "run" / "global" / "checkpoints" / "step-00000002").is_dir()


def train_command(world: World, output: Path, variant: str, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "cli.main", "train", variant, "--config", str(world.config), "--data", str(world.data),
        "--output", str(output), *more,
    ]  # fmt: skip


def test_only_the_last_checkpoints_remain(world: World, tmp_path: Path) -> None:
    config = write_config(tmp_path / "tiny.yaml", world.backbone, checkpoint_every=1, keep_checkpoints=2)
    watch = StopAfter(3)
    run_request = request(world, tmp_path / "run", config=load_config(str(config)))
    with pytest.raises(Stopped):
        train(replace(run_request, observer=watch, stop=lambda: watch.stop))
    checkpoints = sorted(path.name for path in (tmp_path / "run" / "global" / "checkpoints").iterdir())
    assert checkpoints == ["step-00000003", "step-00000004"]


@pytest.fixture
def stopped(world: World, tmp_path: Path) -> Path:
    """A run with a checkpoint."""
    watch = StopAfter(1)
    with pytest.raises(Stopped):
        train(request(world, tmp_path / "run", observer=watch, stop=lambda: watch.stop))
    return tmp_path / "run"


def test_a_checkpoint_says_what_it_was_made_from(stopped: Path, world: World) -> None:
    document = json.loads((stopped / "global" / "checkpoints" / "step-00000002" / "checkpoint.json").read_bytes())
    record = json.loads((world.data / "dataset.json").read_bytes())
    identity = document["identity"]
    assert identity["data_digest"] == record["digest"]
    assert identity["template_digest"] == record["template_digest"]
    assert identity["config"]["settings"]["global"]["learning_rate"] == 1e-2
    assert (identity["seed"], identity["stage"], document["progress"]["step"]) == (0, "global", 2)
    assert {"torch", "transformers", "peft"} <= document["versions"].keys()
    assert document["trained_on"] == sorted(digests())
    suffixes = {path.suffix for path in stopped.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".jsonl", ".safetensors"}


def test_another_config_seed_or_data_is_refused(stopped: Path, world: World, tmp_path: Path) -> None:
    other = load_config(str(write_config(tmp_path / "tiny.yaml", world.backbone, clip=0.5)))
    with pytest.raises(RunDiffers, match=r"config\.clip was 1\.0 and is 0\.5"):
        train(request(world, stopped, config=other))
    with pytest.raises(RunDiffers, match="seed was 0 and is 1"):
        train(request(world, stopped, seed=1))
    with pytest.raises(RunDiffers, match="variant"):
        train(request(world, stopped, "alpha-umi"))
    write_data(tmp_path / "data", trained=11)
    with pytest.raises(RunDiffers, match="data_digest was"):
        train(request(world, stopped, data=tmp_path / "data"))


def test_a_run_goes_on_with_its_backbone_converted_elsewhere(prepared: World, tmp_path: Path) -> None:
    """Other weights under the same name are refused."""
    watch = StopAfter(1)
    run_request = request(prepared, tmp_path / "run")
    with pytest.raises(Stopped):
        train(replace(run_request, observer=watch, stop=lambda: watch.stop))
    before = (prepared.backbone / MANIFEST_FILE).read_bytes()
    convert_elsewhere(prepared.backbone)
    assert (prepared.backbone / MANIFEST_FILE).read_bytes() != before
    train(run_request)
    assert len(losses(tmp_path / "run")) == 6
    (prepared.backbone / "model.safetensors").write_bytes(b"other weights")
    write_manifest(prepared.backbone, load_manifest(prepared.backbone))
    with pytest.raises(RunDiffers, match=r"backbone\.files\.model\.safetensors was"):
        train(run_request)


def test_a_checkpoint_of_another_run_is_refused(stopped: Path, world: World) -> None:
    """Also if only the checkpoint has the identity."""
    path = stopped / "global" / "checkpoints" / "step-00000002" / "checkpoint.json"
    document = json.loads(path.read_bytes())
    document["identity"]["config"]["clip"] = 0.5
    path.write_text(json.dumps(document))
    with pytest.raises(RunDiffers, match=r"step-00000002 belongs to another run: config\.clip was 0\.5 and is 1\.0"):
        train(request(world, stopped))
    path.write_text("{")
    with pytest.raises(RunDiffers, match="step-00000002 cannot be read"):
        train(request(world, stopped))


def test_what_only_costs_memory_may_change(stopped: Path, world: World, complete_run: Path, tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "tiny.yaml", world.backbone, micro_tokens=300, checkpoint_activations=True, lora=None
    )
    smaller = load_config(str(config)).model_copy(update={"lora": load_config(str(world.config)).lora})
    train(request(world, stopped, config=smaller))
    assert len(losses(stopped)) == 6


def test_a_full_disk_leaves_the_last_checkpoint_intact(world: World, tmp_path: Path) -> None:
    """The kernel limits the size of files."""
    output = tmp_path / "run"
    command = train_command(world, output, "single-llm")
    limited = [sys.executable, "-c", LIMITED_AFTER_STEP_3, *command[3:]]
    ended = subprocess.run(limited, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1, ended.stderr
    assert "step-00000004 cannot be written" in ended.stderr
    assert "make room, and run the same command again" in ended.stderr
    assert [path.name for path in (output / "global" / "checkpoints").iterdir()] == ["step-00000002"]
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "from step 3" in again.stderr


LIMITED_AFTER_STEP_3 = """
import resource, sys
from cli.main import app
from cli.training_view import RunView

def limited(self, record):
    if record.step == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

RunView.on_step = limited
app(sys.argv[1:])
"""


def test_a_disk_that_fills_up_within_a_checkpoint(world: World, stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "_write_record", full)
    with pytest.raises(CannotWrite, match="step-00000004 cannot be written: No space left on device"):
        train(request(world, stopped))
    assert [path.name for path in (stopped / "global" / "checkpoints").iterdir()] == ["step-00000002"]


def test_a_loss_that_is_no_number_ends_the_run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient norm overflows, because weights are scaled up after step 2."""
    from training.loop.stage import StageLoop

    def spoil() -> None:
        for parameter in made[-1].module.parameters():
            parameter.data.fill_(math.inf)

    made: list[StageLoop] = []
    begin = StageLoop.run
    monkeypatch.setattr(StageLoop, "run", lambda self, seed: (made.append(self), begin(self, seed))[1])
    with pytest.raises(LossNotFinite, match=r"stage global, step 4: the loss is nan.*checkpoint of step 2 remains"):
        train(request(world, tmp_path, observer=StopAfter(3, spoil)))
    assert (tmp_path / "global" / "checkpoints" / "step-00000002").is_dir()
    assert len(losses(tmp_path)) == 3


def test_tokens_are_bounded_over_all_stages(world: World, complete_run: Path, tmp_path: Path) -> None:
    most = json.loads((complete_run / "costs.json").read_bytes())["tokens"]
    train(request(world, tmp_path, "alpha-umi", max_tokens=most * 2 // 3))
    costs = json.loads((tmp_path / "costs.json").read_bytes())
    assert most / 3 < costs["tokens"] <= most * 2 // 3
    assert {name: stage["steps"] for name, stage in costs["stages"].items()}["global"] < 6


def test_halves_of_the_instructions_do_not_meet(world: World, tmp_path: Path) -> None:
    train(request(world, tmp_path, "alpha-umi-without-reuse"))
    seen = {
        name: json.loads((stage_folder(tmp_path, name) / "stage.json").read_bytes()) for name in ("global", "caller")
    }
    assert 0 < len(seen["global"]["trained_on"]) < len(digests())
    assert seen["caller"]["trained_on"] == sorted(digests())
    assert seen["global"]["examples"] + seen["caller"]["examples"] == len(digests())


def test_full_fine_tuning_changes_all_weights(world: World, tmp_path: Path) -> None:
    config = load_config(str(write_config(tmp_path / "full.yaml", world.backbone, lora=None)))
    train(request(world, tmp_path / "run", "alpha-umi", config=config, stages=("global", "caller")))
    made = load_file(stage_folder(tmp_path / "run", "caller") / "model.safetensors")
    base = load_file(world.backbone / "model.safetensors")
    assert made.keys() == base.keys()
    assert not any(torch.equal(made[name], base[name]) for name in made if "layers" in name)
    assert losses(tmp_path / "run", "caller")[0] < losses(tmp_path / "run")[0] * 0.75


def test_no_examples_for_a_stage(prepared: World, tmp_path: Path) -> None:
    write_data(prepared.data, trained=0)
    with pytest.raises(NothingLeft, match=r"stage global: .* has no training example for backbone"):
        train(request(prepared, tmp_path / "run"))


def test_no_gpu_where_the_config_asks_for_one(prepared: World, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    config = load_config(str(write_config(prepared.config, prepared.backbone, device="cuda")))
    with pytest.raises(DeviceMissing, match="device is cuda, and this machine has no GPU"):
        train(request(prepared, tmp_path / "run", config=config))
    assert not (tmp_path / "run").exists()


def _without_end_of_turn(world: World) -> None:
    path = world.backbone / "tokenizer.json"
    path.write_text(path.read_text().replace("<|im_end|>", "<|other|>"))
    settings = world.backbone / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace("<|im_end|>", "<|other|>"))


def _template_changed(world: World) -> None:
    write_data(world.data, template_digest="1" * 64)


def _data_in_another_template(world: World) -> None:
    write_data(world.data, template="toolbench")


def _data_damaged(world: World) -> None:
    path = world.data / "train" / "backbone.jsonl"
    path.write_text(path.read_text() + "{\n")


def _a_suite_in_the_data(world: World) -> None:
    write_data(world.data, trained_on=tuple(sorted(suite_digests("gsm8k", world.root)))[:2])


def _no_manifest(world: World) -> None:
    (world.backbone / "alpha_umi.json").unlink()


def _context_too_short(world: World) -> None:
    write_config(world.config, world.backbone, context=64)


def _context_too_long(world: World) -> None:
    write_config(world.config, world.backbone, context=9_000)


def _unknown_layers(world: World) -> None:
    write_config(world.config, world.backbone, lora={"rank": 1, "alpha": 1, "layers": ["no_such_layer"]})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without_end_of_turn, r"'<\|im_end\|>'.* is not a special token"),
        (_template_changed, "the template toolbench-im-end has changed since"),
        (_data_in_another_template, "template is toolbench-im-end, and .* was prepared in toolbench"),
        (_data_damaged, "the examples are not those"),
        (_a_suite_in_the_data, "2 training instructions are in the suite 'gsm8k'"),
        (_no_manifest, "alpha_umi.json: No such file"),
        (_context_too_short, "example .* has .* tokens, and the context of the config tiny is 64"),
        (_context_too_long, "context is 9,000, and the backbone has 4,096"),
        (_unknown_layers, "lora.layers: .*no_such_layer"),
    ],
)
def test_what_does_not_go_together_is_refused(
    prepared: World, tmp_path: Path, spoil: Callable[[World], None], message: str
) -> None:
    spoil(prepared)
    with pytest.raises(TrainingError, match=message) as raised:
        train(request(prepared, tmp_path / "run"))
    assert raised.value.remedy


def test_stages_that_cannot_be_trained(world: World, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="variant alpha-umi has no stage 'driver'"):
        train(request(world, tmp_path, "alpha-umi", stages=("driver",)))
    with pytest.raises(TrainingError, match="planner starts from global, which is not trained yet"):
        train(request(world, tmp_path, "alpha-umi", stages=("planner",)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["alpa-umi", "--data", "x", "--output", "y"], "did you mean alpha-umi?"),
        (["alpha-umi", "--config", "smollm", "--data", "x", "--output", "y"], "did you mean smollm2-135m?"),
        (["alpha-umi", "--data", "nowhere", "--output", "y"], "nowhere/dataset.json cannot be read"),
    ],
)
def test_the_command_tells_and_exits_with_2(arguments: Sequence[str], message: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from cli.main import app

    os.chdir(tmp_path)
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code == 2, result.output
    assert message in result.output
    assert list(tmp_path.iterdir()) == []
