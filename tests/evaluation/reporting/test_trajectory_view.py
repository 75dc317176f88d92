"""A trajectory on a page: each step names the history of its prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from support.synthetic_trajectories import record_of, step, trajectory, trajectory_run, written

from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.trajectory import Limits
from evaluation.page.blocks import Paragraph, Section
from evaluation.reporting.inputs import BootstrapOptions, TrajectoriesRun, read_runs
from evaluation.reporting.trajectory_examples import trajectory_fold


def shown(folder: Path, example: Trajectory, **options: Any) -> list[str]:
    """The sentences on the histories of this trajectory's steps."""
    run = trajectory_run([True])
    one = replace(run, records=(record_of(example, recorded="q0", **options),))
    (folder / "trajectories").write_text(written(one))
    (read,) = read_runs([folder / "trajectories"], BootstrapOptions(100))
    assert isinstance(read, TrajectoriesRun)
    steps = [block for block in trajectory_fold(read, 0).blocks if isinstance(block, Section)]
    return [block.text for each in steps for block in each.blocks if isinstance(block, Paragraph)]


def test_a_chain_is_shown_all_steps_before(tmp_path: Path) -> None:
    steps = [step(0), step(1), step(2, "conclusion").model_copy(update={"truncated": True})]
    assert shown(tmp_path, trajectory(steps=steps)) == [
        "Shown before it: the question.",
        "Shown before it: the question, and what is in step 1.",
        "Shown before it: the question, and what is in steps 1, 2; for one role at least it was shortened to fit.",
    ]


def test_a_search_is_shown_its_branch_and_what_was_tried(tmp_path: Path) -> None:
    # The second call is the first one again, so that the search goes back by one step.
    steps = [step(0), step(1, arguments={"item": 0}), step(2), step(3, "conclusion")]
    limits = Limits(max_steps=9, max_repeats=2, max_depth=9)
    assert shown(tmp_path, trajectory(steps=steps), strategy="dfsdt", limits=limits) == [
        "Shown before it: the question.",
        "Shown before it: the question, and what is in step 1.",
        "Shown before it: the question, and what is in step 1, and for the planner, as tried here before, step 2.",
        "Shown before it: the question, and what is in steps 1, 3.",
    ]
