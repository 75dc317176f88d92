"""The variants' table: what the command does, what it leaves alone, and that its section says what the files hold.

Tiny models are trained and exported by the real commands; only what writes predictions is scripted.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from support.generated_suites import sums_file
from support.system import call
from support.tiny_training import World, make_world
from typer.testing import CliRunner

from benchmarks.processes import ProcessFailed, long_command
from benchmarks.variants import __main__ as command
from benchmarks.variants import carrying_out
from benchmarks.variants.carrying_out import alone
from benchmarks.variants.runs import VariantRun
from cli.main import app
from evaluation.compare import compare
from evaluation.files.step_run import read_run
from evaluation.metrics import decision_confusion
from evaluation.scoring import score

VARIANTS = ("single-llm", "alpha-umi")
BOUND = 4_000
_CALL = call("calculator", {"expression": "1+1"})
# The single model calls now and then, else it answers; the planner is always right.
_ANSWERS, _CALLS = "It is known.\nconclusion: 2", f"I compute it.\n{_CALL}"
_SINGLE = [*[_ANSWERS, _ANSWERS, _CALLS] * 5, _ANSWERS]
RULES: tuple[dict[str, Any], ...] = (
    {"when": "Base on the thought", "texts": [_CALL]},
    {"when": "Make a conclusion", "texts": ["It is 2."]},
    {"when": "answer the action of next step", "texts": _SINGLE},
    {"when": "observation:", "texts": ["It is known now. Next: conclusion."]},
    {"when": "", "texts": ["I compute it. Next: caller."]},
)


@dataclass
class Bench:
    """A folder of runs, the page, and the commands that were run."""

    root: Path
    world: World
    suite: Path
    run: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / "runs"

    @property
    def page(self) -> Path:
        return self.root / "page.md"

    def carry_out(self, *more: str, bound: int = BOUND) -> list[str]:
        """The commands that the benchmark runs, told as `train alpha-umi-0`."""
        self.run.clear()
        given = ["--config", str(self.world.config), "--data", str(self.world.data), "--suite", str(self.suite)]
        given += [text for variant in VARIANTS for text in ("--variant", variant)]
        given += ["--max-tokens", str(bound), "--share-global", "--folder", str(self.folder), "--page", str(self.page)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["variants", *given, *more])
            patch.setattr(carrying_out, "long_command", self._command)
            command.main()
        return list(self.run)

    def of(self, variant: str) -> VariantRun:
        return VariantRun(self.folder, variant, 0)

    def _command(self, *arguments: str, log: Path, inherits: list[int]) -> None:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == 0, done.output
        what = {"--constrained": "constrained", "--unconstrained": "free", "--merged": "merged"}
        told = [arguments[1], log.parent.name, *(what[each] for each in arguments if each in what)]
        self.run.append(" ".join(told))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, embedded_model: Path) -> Iterator[Bench]:
    """Nothing is done yet."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("variants")
    (root / "script.json").write_text(json.dumps(RULES))
    made = Bench(root, make_world(root, embedded_model), sums_file(root, 25))
    made.page.write_text("# Page\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALPHA_UMI_DATA", str(root))
        patch.setenv("ALPHA_UMI_ROLE_ENGINE", "scripted")
        patch.setenv("ALPHA_UMI_ROLE_SCRIPT", str(root / "script.json"))
        yield made


@pytest.fixture(scope="module")
def trained(bench: Bench) -> list[str]:
    """What was done with `--train-only`."""
    return bench.carry_out("--train-only")


@pytest.fixture(scope="module")
def measured(bench: Bench, trained: list[str]) -> list[str]:
    """What the whole command did afterwards."""
    return bench.carry_out()


def rows(text: str, first: str) -> list[list[str]]:
    found = [line.strip("|").split("|") for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [[cell.strip() for cell in cells[1:]] for cells in found]


def test_training_and_measuring_may_lie_apart(bench: Bench, trained: list[str], measured: list[str]) -> None:
    assert trained == ["run alpha-umi-0", "export alpha-umi-0", "run single-llm-0", "export single-llm-0"]
    each = [["export NAME merged", "generate NAME constrained", "generate NAME free"]] * 2
    names = ("alpha-umi-0", "single-llm-0")
    assert measured == [line.replace("NAME", name) for name, part in zip(names, each, strict=True) for line in part]
    for variant, roles in (("single-llm", ["backbone"]), ("alpha-umi", ["caller", "planner", "summarizer"])):
        assert sorted(path.name for path in bench.of(variant).models.iterdir()) == roles
        assert not bench.of(variant).merged.exists()


@pytest.mark.usefixtures("measured")
def test_what_is_whole_is_not_done_again(bench: Bench) -> None:
    page = bench.page.read_text()
    assert bench.carry_out() == []
    assert bench.page.read_text() == page
    path = bench.of("single-llm").predictions("sums", "free")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"{") + 20])
    assert bench.carry_out("--tables-only") == []
    assert "Not measured yet on `sums`: single-llm-0." in bench.page.read_text()
    assert bench.carry_out() == ["export single-llm-0 merged", "generate single-llm-0 free"]
    assert len(path.read_bytes().splitlines()) == len(whole.splitlines())
    assert "Not measured" not in bench.page.read_text()


@pytest.mark.usefixtures("measured")
def test_the_variants_stand_beside_single_llm(bench: Bench) -> None:
    text = bench.page.read_text()
    pairs = {variant: read_run(bench.of(variant).predictions("sums", "free")).pairs() for variant in VARIANTS}
    for variant in VARIANTS:
        [shown] = rows(text, f"free: {variant}")[:1]
        figure = score(pairs[variant]).figures[0]
        assert figure.value is not None
        assert figure.interval is not None
        ends = f"{100 * figure.interval.low:.1f} to {100 * figure.interval.high:.1f}"
        assert shown[0] == f"{100 * figure.value:.1f} ({ends}; {figure.n})"
    difference = compare(pairs["single-llm"], pairs["alpha-umi"]).differences[0]
    assert (difference.difference or 0) > 0.3
    assert difference.interval is not None
    [told] = rows(text.partition("free: single-llm")[2], "less single-llm")
    shown = f"{100 * difference.interval.low:+.1f} to {100 * difference.interval.high:+.1f}"
    assert told[0] == f"{100 * (difference.difference or 0):+.1f} ({shown}) **ahead**"
    # Whoever decides alike everywhere is seen to.
    counts = decision_confusion(pairs["single-llm"])
    assert rows(text, "free: single-llm")[1] == [" / ".join(map(str, row.values())) for row in counts.values()]
    assert rows(text, "free: alpha-umi")[1] == ["25 / 0 / 0 / 0 / 0", "0 / 25 / 0 / 0 / 0", "0 / 0 / 0 / 0 / 0"]


@pytest.mark.usefixtures("measured")
def test_costs_are_those_of_the_runs(bench: Bench) -> None:
    text = bench.page.read_text()
    costs = {variant: bench.of(variant).costs() or {} for variant in VARIANTS}
    single, three = (rows(text, variant)[0] for variant in VARIANTS)
    assert (single[1:3], three[2]) == (["1.00", "1.00"], "3.00")
    assert float(three[1]) == pytest.approx(
        costs["alpha-umi"]["served_bytes"] / costs["single-llm"]["served_bytes"], abs=0.01
    )
    assert float(three[4]) == pytest.approx(costs["alpha-umi"]["seconds"] / costs["single-llm"]["seconds"], abs=0.01)
    assert (single[5], three[5]) == tuple(f"{costs[variant]['tokens']:,}" for variant in VARIANTS)
    assert single[-1] == three[-1] == "cpu"
    # The first stage was trained once, and counts in both.
    assert costs["single-llm"]["stages"]["global"]["seconds"] == costs["alpha-umi"]["stages"]["global"]["seconds"]
    assert re.search(r"- single-llm, seed 0: global [\d,]+ tokens .*trained once, as global of alpha-umi", text)


@pytest.mark.usefixtures("measured")
def test_the_command_and_what_was_trained_stand_in_the_section(bench: Bench) -> None:
    text = bench.page.read_text()
    told = "`python -m benchmarks.variants --data data --config tiny.yaml --variant single-llm --variant alpha-umi"
    assert f"{told} --max-tokens 4000 --share-global --steps 200 --suite sums.yaml" in text
    assert str(bench.root) not in text
    assert "LoRA of rank 4, alpha 8, context 4,096" in text
    assert "global: learning rate 0.01, 2 epochs, batch 4, warm-up 0.25, cosine" in text
    assert f"Data {bench.of('alpha-umi').identity()['data_digest'][:12]} (mixture `toy`)" in text
    # The folder may have been anywhere.
    assert "measured on" not in text


@pytest.mark.usefixtures("measured")
def test_seeds_are_summed_up(bench: Bench, tmp_path: Path) -> None:
    again = Bench(tmp_path, bench.world, bench.suite)
    again.page.write_text("# Page\n")
    for variant in VARIANTS:
        for seed in (0, 1):
            shutil.copytree(bench.of(variant).home, VariantRun(again.folder, variant, seed).home)
    assert again.carry_out("--tables-only", "--seed", "0", "--seed", "1") == []
    text = again.page.read_text()
    assert rows(text, "free: alpha-umi")[0][:2] == ["2", "100.0 (100.0 to 100.0), ahead in 2 of 2"]
    assert "ahead" not in rows(text, "free: single-llm")[0][1]
    assert len(rows(text, "constrained: alpha-umi, seed 1")) == 2


@pytest.mark.usefixtures("measured")
def test_runs_that_are_others_are_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"run\.json belongs to another run: max_tokens was 4000 and is 5000"):
        bench.carry_out(bound=5_000)
    other = Bench(tmp_path, bench.world, bench.suite)
    with pytest.raises(SystemExit, match="no variant is trained yet"):
        other.carry_out("--tables-only")
    for variant in VARIANTS:
        shutil.copytree(bench.of(variant).home, other.of(variant).home)
    path = other.of("alpha-umi").trained / "run.json"
    document = json.loads(path.read_bytes())
    document["identity"]["data_digest"] = "0" * 64
    path.write_text(json.dumps(document))
    with pytest.raises(SystemExit, match=r"belongs to another run: data_digest was \"0000"):
        other.carry_out("--tables-only")


@pytest.mark.usefixtures("measured")
def test_a_run_of_another_config_is_found_before_any_work(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path, bench.world, bench.suite)
    # Only begun, and the last in the order of the work.
    place = other.of("single-llm").trained
    place.mkdir(parents=True)
    document = json.loads((bench.of("single-llm").trained / "run.json").read_bytes())
    document["identity"]["config"]["clip"] = 0.25
    (place / "run.json").write_text(json.dumps(document))
    with pytest.raises(SystemExit, match=r"run\.json belongs to another run: config\.clip was 0\.25 and is 1\.0"):
        other.carry_out()
    assert other.run == []


def test_options_that_do_not_go_together(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for given, told in (
        (["--share-global", "--variant", "single-llm", "--tables-only"], "add --variant alpha-umi"),
        ([], "--data: name the folder of `alpha-umi train prepare`"),
    ):
        monkeypatch.setattr(sys, "argv", ["variants", *given])
        with pytest.raises(SystemExit, match="2"):
            command.main()
        assert told in capsys.readouterr().err


def test_one_command_works_in_a_folder(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(ProcessFailed, match="is at work in"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_what_a_command_printed_is_told_where_it_fails(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=r"alpha-umi upp ended with 2; (.|\n)*'upp'"):
        long_command("upp", log=tmp_path / "logs" / "commands.log")
