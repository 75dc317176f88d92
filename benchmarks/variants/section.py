"""The section of the page of results about variants: what was trained, how good it is, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results.runs import MODES
from benchmarks.results.section import notes
from benchmarks.variants.costs import costs_table, tokens_lines
from benchmarks.variants.figures import measured
from benchmarks.variants.runs import SINGLE, VariantRun, read_whole
from benchmarks.variants.tables import decisions_table, seeds_table, variants_table
from evaluation.metrics import COLUMNS
from training.errors import NothingLeft
from training.loop.checkpoint import require_same
from training.records import CURVES, RUN_FILE

# What has to be the same for figures to stand side by side. Number formats of machines differ.
_SHARED = ("config", "data_digest", "template_digest", "backbone")


def section(title: str, command: str, runs: Sequence[VariantRun], suites: Sequence[str]) -> str:
    """All of it, of what is there; what is not there yet is named.

    Raises `NothingLeft` where nothing is, `RunDiffers` where runs were made from other data or with another config, and
    `EvaluationError`.
    """
    trained = [run for run in runs if run.costs() is not None]
    if not trained:
        raise NothingLeft("no variant is trained yet", remedy="leave out --tables-only")
    _require_comparable(trained)
    seeds = len({run.seed for run in runs}) > 1
    parts = [
        f"## {title}\n\nMade by `{command}`.",
        _trained(trained),
        *(part for suite in suites for part in _suite(suite, trained, seeds=seeds)),
        "### What they cost",
        _COSTS,
        costs_table(trained, seeds=seeds),
        *_missing(runs, suites),
    ]
    return "\n\n".join(parts)


def _trained(runs: Sequence[VariantRun]) -> str:
    identity = runs[0].identity()
    config, curves = identity["config"], f"VARIANT-SEED/{runs[0].trained.name}/{CURVES}"
    told = [
        f"Config `{config['name']}`: {_lora(config['lora'])}, context {config['context']:,}, template "
        f"{config['template']}; {_settings(config['settings'])}.",
        f"Data {_data(runs[0])}; loss curves in the folder of the runs, `{curves}`. Trained were:",
    ]
    return " ".join(told) + "\n\n" + tokens_lines(runs)


def _data(run: VariantRun) -> str:
    mixture, digest = run.mixture(), run.identity()["data_digest"][:12]
    return digest if mixture is None else f"{digest} (mixture `{mixture}`)"


def _lora(lora: Mapping[str, Any] | None) -> str:
    return "all weights" if lora is None else f"LoRA of rank {lora['rank']}, alpha {lora['alpha']}"


def _settings(settings: Mapping[str, Mapping[str, Any]]) -> str:
    return "; ".join(
        f"{name}: learning rate {each['learning_rate']:g}, {_epochs(each['epochs'])}, batch {each['batch']}, warm-up "
        f"{each['warmup']:g}, {each['schedule']}"
        for name, each in settings.items()
    )


def _epochs(count: int) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def _suite(suite: str, runs: Sequence[VariantRun], *, seeds: bool) -> Iterator[str]:
    found = measured(runs, suite)
    if not found:
        return
    about = found[0].scores
    yield f"### `{found[0].about.suite}`: {about.steps:,} steps of {about.trajectories:,} trajectories"
    yield from notes(*(each.about for each in found))
    yield _HOW
    yield variants_table(found, seeds=seeds)
    if seeds:
        yield seeds_table(found)
    yield f"Decisions, as {' / '.join(COLUMNS)}:"
    yield decisions_table(found, seeds=seeds)


def _require_comparable(runs: Sequence[VariantRun]) -> None:
    first = _shared(runs[0])
    for run in runs[1:]:
        require_same(run.trained / RUN_FILE, _shared(run), first)


def _shared(run: VariantRun) -> dict[str, Any]:
    identity = run.identity()
    return {name: identity[name] for name in _SHARED}


def _missing(runs: Sequence[VariantRun], suites: Sequence[str]) -> Iterator[str]:
    """What the same command would still do."""
    untrained = [run.home.name for run in runs if run.costs() is None]
    if untrained:
        yield f"Not trained yet: {', '.join(untrained)}."
    for suite in suites:
        lacking = [run.home.name for run in runs if run.costs() is not None and not _measured_whole(run, suite)]
        if lacking:
            yield f"Not measured yet on `{Path(suite).stem}`: {', '.join(lacking)}."


def _measured_whole(run: VariantRun, suite: str) -> bool:
    return all(read_whole(run.predictions(suite, mode)) is not None for mode in MODES)


_HOW = (
    f"*ahead* and *behind* are said of the paired difference to `{SINGLE}` on the same steps where its 95 % interval "
    "leaves 0 out. Variants differ in the tokens that they were trained with (see below), so one that is ahead of "
    f"`{SINGLE}` may owe some of it to more training."
)
_COSTS = (
    "Storage is what is served: with LoRA the backbone once and an adapter for each model. *As whole models* is how "
    "many times one model it would be without adapters, as in the paper. Time is that of all stages of a variant, also "
    "of one that was trained once for several; it is compared on like machines only."
)
