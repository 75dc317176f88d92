"""Prompts of trajectories on a page: beside their step, as text, with common prefixes shown once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.seen_prompts import Watched, priced
from support.synthetic_trajectories import trajectory_run, written
from support.system import call

from evaluation.files.trajectory_run import TrajectoryRun
from evaluation.page.blocks import Block, Fold, Paragraph, Section, Verbatim
from evaluation.page.html import render_page
from evaluation.reporting import trajectory_prompts as folds
from evaluation.reporting.inputs import BootstrapOptions, TrajectoriesRun, read_runs
from evaluation.reporting.trajectory_examples import trajectory_fold
from evaluation.reporting.trajectory_prompts import trajectory_prompts

MARKUP = "<script>alert('price')</script><b>Price</b> of an item."
COSTS = Watched(
    {
        "planner": ["I ask. Next: caller.", "Known. Next: conclusion."],
        "caller": [call("price_of", {"item": "lamp"})],
        "summarizer": ["It costs 40."],
    }
)


def described(run: TrajectoryRun, description: str) -> TrajectoryRun:
    """The same, had its tool been described so."""
    tool = run.tools[1].tool.model_copy(update={"description": description})
    return replace(run, tools={1: run.tools[1].model_copy(update={"tool": tool})})


def read_of(run: TrajectoryRun, folder: Path) -> TrajectoriesRun:
    (folder / "read.jsonl").write_text(written(run))
    (read,) = read_runs([folder / "read.jsonl"], BootstrapOptions(100))
    assert isinstance(read, TrajectoriesRun)
    return read


def prompts_in(blocks: Sequence[Block]) -> Iterator[tuple[str, Verbatim]]:
    """The summaries of the folds, and what is in them."""
    for block in blocks:
        if isinstance(block, Fold) and isinstance(block.blocks[0], Verbatim):
            yield block.summary, block.blocks[0]


async def test_each_step_opens_to_the_prompts_of_its_roles(tmp_path: Path) -> None:
    run = await priced(tmp_path, COSTS)
    opened = trajectory_fold(read_of(run, tmp_path), 0)
    steps = [block for block in opened.blocks if isinstance(block, Section)]
    shown = [*(matches for step in steps for matches in prompts_in(step.blocks)), *prompts_in(opened.blocks)]
    texts = [prompt.text for prompt in trajectory_prompts(run, run.records[0])]
    assert [block.text for _, block in shown] == texts
    assert [summary.partition(",")[0] for summary, _ in shown] == [
        "The planner's exact prompt", "The caller's exact prompt", "The planner's exact prompt",
        "The summarizer's exact prompt",
    ]  # fmt: skip
    assert [len(list(prompts_in(step.blocks))) for step in steps] == [2, 1]
    assert shown[0][1].label == "rebuilt from the trajectory's events"


async def test_what_long_prompts_begin_with_is_shown_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folds, "MAX_CHARACTERS_IN_FULL", 100)
    run = described(await priced(tmp_path, COSTS), "The price of an item in EUR. " * 20)
    first, _, second, _ = (text or "" for text in (each.text for each in trajectory_prompts(run, run.records[0])))
    matches = folds.prompt_folds(run, run.records[0])
    ((_, complete), *_), ((summary, rest),) = list(prompts_in(matches.of_step(0))), list(prompts_in(matches.of_step(1)))
    common = len(second) - len(rest.text)
    assert complete.text == first
    assert first[:common] + rest.text == second
    assert second[common - 1].isspace()
    assert rest.text.startswith("lamp?</s>assistant: I ask.")
    assert 2 * common >= len(second)
    assert summary == f"The planner's exact prompt, {len(second):,} characters"
    assert rest.label.endswith(
        f"; without its first {common:,} characters, which are those of the planner's prompt of step 1"
    )


async def test_markup_in_a_tool_is_text_in_its_prompts(tmp_path: Path) -> None:
    changed = described(await priced(tmp_path, COSTS), MARKUP)
    page = render_page("Prompts", [Section("One", [trajectory_fold(read_of(changed, tmp_path), 0)])])
    # The caller and the planner, twice, are shown it.
    assert page.count("&lt;script&gt;alert(") == 3
    assert "<script" not in page


def test_why_there_are_no_prompts_is_reported_once(tmp_path: Path) -> None:
    run = trajectory_run([True])
    opened = trajectory_fold(read_of(run, tmp_path), 0)
    message = [block.text for block in opened.blocks if isinstance(block, Paragraph) and "prompts" in block.text]
    assert message == [
        "The prompts of this trajectory cannot be rebuilt: the file does not have the tools as they were offered, "
        "because an earlier version wrote it."
    ]
    assert not list(prompts_in(opened.blocks))


async def test_a_reason_that_all_prompts_share_is_reported_once(tmp_path: Path) -> None:
    run = await priced(tmp_path, COSTS)
    models = {role: {**model, "template": "of nobody"} for role, model in run.about.models.items()}
    matches = folds.prompt_folds(replace(run, about=run.about.model_copy(update={"models": models})), run.records[0])
    assert list(matches.notes) == [
        Paragraph("The prompts of this trajectory cannot be rebuilt: this version has no template 'of nobody'.")
    ]
    assert matches.shown == ()
    one = models | {"planner": run.about.models["planner"]}
    some = folds.prompt_folds(replace(run, about=run.about.model_copy(update={"models": one})), run.records[0])
    assert Paragraph("The caller's exact prompt cannot be rebuilt: this version has no template 'of nobody'.") in (
        some.of_step(0)
    )
