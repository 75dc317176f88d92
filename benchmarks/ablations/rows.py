"""What is laid beside what: pairs of runs in folders of `benchmarks.variants`, and the commands that make them.

Steps are the files of `benchmarks.variants` itself. Whole trajectories lie beside them, in

FOLDER/VARIANT-SEED/SUITE-whole.jsonl            chain (the single model's: strategy single), inside grammars
FOLDER/VARIANT-SEED/SUITE-whole-unguarded.jsonl  the same without the guard against loops
FOLDER/VARIANT-SEED/SUITE-whole-dfsdt.jsonl      the same as a search
FOLDER/VARIANT-SEED/SUITE-whole-free.jsonl       the same without grammars
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from benchmarks.results.runs import MODES
from benchmarks.variants.runs import DONOR, SINGLE, VariantRun

What = Literal["", "-unguarded", "-dfsdt", "-free"]
# A trajectory has at most so many steps, so no call is repeated as often.
NO_GUARD: Final = 64
WITHOUT: Final[dict[What, tuple[str, str]]] = {
    "-free": ("without grammars", ""),
    "-unguarded": ("without the guard against loops", f"--max-repeats {NO_GUARD}"),
    "-dfsdt": ("as a search", "--strategy dfsdt"),
}


@dataclass(frozen=True)
class Backbone:
    """A folder of variants of one backbone, by the name of its config."""

    config: str
    folder: Path


@dataclass(frozen=True)
class Row:
    """A difference: the `second` run less the `first`. `commands` make what is not there."""

    backbone: str
    suite: str
    title: str
    first: Path
    second: Path
    commands: tuple[str, ...]
    splits: bool = False


@dataclass(frozen=True)
class Wanted:
    """What the table is to hold."""

    backbones: tuple[Backbone, ...]
    variants: tuple[str, ...]
    seed: int
    suites: tuple[str, ...]
    whole_suites: tuple[str, ...]
    steps: int
    trajectories: int


def step_rows(wanted: Wanted) -> Iterator[Row]:
    """Of steps: every variant less Single-LLM, inside grammars and without; then each without its grammars."""
    for backbone in wanted.backbones:
        for suite in wanted.suites:
            for variant in wanted.variants:
                yield from _less_single(wanted, backbone, suite, variant)
            for variant in (SINGLE, *wanted.variants):
                yield _without_grammars(wanted, backbone, suite, variant)


def whole_rows(wanted: Wanted) -> Iterator[Row]:
    """Of whole trajectories: every variant less Single-LLM, and what the recommended one is without a part."""
    for backbone in wanted.backbones:
        for suite in wanted.whole_suites:
            single = VariantRun(backbone.folder, SINGLE, wanted.seed)
            for variant in wanted.variants:
                run = VariantRun(backbone.folder, variant, wanted.seed)
                commands = (
                    shlex.join(["alpha-umi", "train", "export", _told(single.trained), "--output", _told(run.models)]),
                    *_up(run, single=True), _ask(wanted, single, ""), _ask(wanted, run, ""),
                )  # fmt: skip
                title = f"{variant} less {SINGLE}"
                yield Row(backbone.config, suite, title, whole(single, suite), whole(run, suite), commands, splits=True)
            run = VariantRun(backbone.folder, DONOR, wanted.seed)
            for what, (title, _) in WITHOUT.items():
                anew = _up(run, free=True) if what == "-free" else ()
                commands = (*_up(run), _ask(wanted, run, ""), *anew, _ask(wanted, run, what))
                files = whole(run, suite), whole(run, suite, what)
                yield Row(backbone.config, suite, f"{DONOR} {title}", *files, commands)


def asked_as(path: Path) -> dict[str, str | bool | int | None]:
    """How a file of whole trajectories has to have been asked, by its name."""
    single = path.parent.name.rpartition("-")[0] == SINGLE
    searched = path.stem.endswith("-whole-dfsdt")
    return {
        "strategy": "single" if single else "dfsdt" if searched else "chain",
        "constrained": not path.stem.endswith("-whole-free"),
        "max_repeats": NO_GUARD if path.stem.endswith("-whole-unguarded") else None,
    }


def whole(run: VariantRun, suite: str, what: What = "") -> Path:
    """The file of a run's whole trajectories."""
    return run.home / f"{Path(suite).stem}-whole{what}.jsonl"


def _less_single(wanted: Wanted, backbone: Backbone, suite: str, variant: str) -> Iterator[Row]:
    single, run = (VariantRun(backbone.folder, each, wanted.seed) for each in (SINGLE, variant))
    for mode in MODES:
        yield Row(
            backbone.config,
            suite,
            f"{variant} less {SINGLE}, {mode}",
            single.predictions(suite, mode),
            run.predictions(suite, mode),
            (_steps_command(wanted, backbone),),
            splits=True,
        )


def _without_grammars(wanted: Wanted, backbone: Backbone, suite: str, variant: str) -> Row:
    run = VariantRun(backbone.folder, variant, wanted.seed)
    with_them, without = (run.predictions(suite, mode) for mode in MODES)
    commands = (_steps_command(wanted, backbone),)
    return Row(backbone.config, suite, f"{variant} without grammars", with_them, without, commands)


def _steps_command(wanted: Wanted, backbone: Backbone) -> str:
    """One for all: what is there is left as it is."""
    variants = [name for each in dict.fromkeys((SINGLE, *wanted.variants)) for name in ("--variant", each)]
    suites = [name for each in wanted.suites for name in ("--suite", Path(each).name)]
    return shlex.join([
        "python", "-m", "benchmarks.variants", "--data", "PREPARED", "--config", backbone.config,
        "--folder", backbone.folder.name, *variants, "--seed", str(wanted.seed), "--steps", str(wanted.steps), *suites,
    ])  # fmt: skip


def _up(run: VariantRun, *, single: bool = False, free: bool = False) -> tuple[str, str]:
    """Bring the run's models up, in the place of what may be up; `single` wants Single-LLM's beside them."""
    up = ["alpha-umi", "up", *(["--single"] if single else []), "--models", _told(run.models)]
    return "alpha-umi down", ("ALPHA_UMI_CONSTRAINED=false " if free else "") + shlex.join(up)


def _ask(wanted: Wanted, run: VariantRun, what: What) -> str:
    """Ask what is up; SUITE stands for each suite."""
    strategy = ["--strategy", "single"] if run.variant == SINGLE else []
    return shlex.join([
        "alpha-umi", "evaluate", "trajectories", "--suite", "SUITE", "--limit", str(wanted.trajectories),
        *strategy, *shlex.split(WITHOUT[what][1] if what else ""), "--output",
        _told(whole(run, "SUITE", what)),
    ])  # fmt: skip


def _told(path: Path) -> str:
    """A path of a variant, from where the folder of all variants is."""
    return str(path.relative_to(path.parents[2]))
