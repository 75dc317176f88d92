"""`python -m benchmarks.results`: one model in all roles, on a sample of every suite, constrained and free.

Runs lie in a folder and are gone on with when the command is given again, also after a kill. The section of the page is
written when all of them are whole; each figure stands with its n and a 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import os
import shlex
import time
from pathlib import Path

from rich.console import Console

from alpha_umi.serving.weights import cache_folder, ensure_backbone
from benchmarks.results.document import replace_section
from benchmarks.results.runs import MODES, Wanted, What, ask, generate, system
from benchmarks.results.section import introduction, steps_part, whole_part
from evaluation.run.trajectories import NoObservations, require_tools
from evaluation.suites.data import data_folder
from evaluation.suites.definition import WITHOUT_STEPS, read_definition, suite_names, suite_path
from evaluation.suites.listing import listed_suites
from evaluation.suites.suite import load_suite

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
CONSOLE = Console(stderr=True, highlight=False)


def main() -> None:
    """Run what is missing, and write the section."""
    options = _options()
    wanted = Wanted(
        options.folder / options.name, options.model or ensure_backbone(cache_folder()),
        options.steps, options.trajectories, options.max_steps,
    )  # fmt: skip
    wanted.folder.mkdir(parents=True, exist_ok=True)
    suites: list[str] = options.suite or suite_names()
    if not options.tables_only:
        began = time.monotonic()
        measured = options.suite or _at_hand()
        _run_steps(wanted, [suite for suite in measured if _has_steps(suite)])
        _run_whole(wanted, [suite for suite in measured if _can_be_whole(suite)])
        CONSOLE.print(f"all runs are there after {time.monotonic() - began:,.0f} s")
    parts = [
        introduction(options.title, _command(options), wanted),
        *(steps_part(wanted, suite) for suite in _with_runs(wanted, "steps", suites)),
        *(whole_part(wanted, suite) for suite in _with_runs(wanted, "whole", suites)),
    ]
    replace_section(options.page, options.name, "\n\n".join(parts))


def _run_steps(wanted: Wanted, suites: list[str]) -> None:
    for suite in suites:
        for mode in MODES:
            began = time.monotonic()
            generate(wanted, suite, mode)
            CONSOLE.print(f"{suite}, {mode}: steps after {time.monotonic() - began:,.0f} s")


def _run_whole(wanted: Wanted, suites: list[str]) -> None:
    for mode in MODES:
        with system(wanted, mode) as url:
            for suite in suites:
                began = time.monotonic()
                ask(wanted, suite, mode, url)
                CONSOLE.print(f"{suite}, {mode}: whole trajectories after {time.monotonic() - began:,.0f} s")


def _with_runs(wanted: Wanted, what: What, suites: list[str]) -> list[str]:
    """The suites whose runs are there: one may be newer than what was measured, or have nothing that answers calls."""
    there = [suite for suite in suites if all(wanted.file(what, suite, mode).exists() for mode in MODES)]
    without = ", ".join(suite for suite in suites if suite not in there)
    if without:
        CONSOLE.print(f"not in the section, because there are no runs ({what}) of them in {wanted.folder}: {without}")
    return there


def _at_hand() -> list[str]:
    """The suites whose data is there; the others are said."""
    listed = listed_suites(data_folder(os.environ))
    missing = ", ".join(suite.name for suite in listed if not suite.at_hand)
    if missing:
        CONSOLE.print(f"not measured, because their data is not at hand (`alpha-umi evaluate suites`): {missing}")
    return [suite.name for suite in listed if suite.at_hand]


def _has_steps(suite: str) -> bool:
    return read_definition(suite_path(suite)).loader not in WITHOUT_STEPS


def _can_be_whole(suite: str) -> bool:
    """Whether there is anything that answers its calls."""
    try:
        require_tools(load_suite(suite, data_folder(os.environ)))
    except NoObservations:
        return False
    return True


def _command(options: argparse.Namespace) -> str:
    """The command as it can be given again, without what is about this machine."""
    given = ["python", "-m", "benchmarks.results", "--name", options.name, "--title", options.title]
    given += ["--steps", str(options.steps), "--trajectories", str(options.trajectories)]
    given += ["--max-steps", str(options.max_steps)]
    given += ["--model", options.model.name] if options.model else []
    return shlex.join(given + [text for suite in options.suite or () for text in ("--suite", suite)])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--name", default="untuned", help="name of the section and of the folder of its runs")
    parser.add_argument("--title", default="The untuned backbone", help="title of the section")
    parser.add_argument("--model", type=Path, help="folder of the model in all roles; the embedded backbone by default")
    parser.add_argument("--suite", action="append", help="a suite, again for another; all by default")
    parser.add_argument("--steps", type=int, default=50, help="steps of each suite")
    parser.add_argument("--trajectories", type=int, default=8, help="whole trajectories of each suite")
    parser.add_argument("--max-steps", type=int, default=4, help="steps of a whole trajectory")
    parser.add_argument(
        "--tables-only", action="store_true", help="run nothing: write the section of runs that are there"
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "results", help="where the runs lie")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that gets the section")
    return parser.parse_args()


if __name__ == "__main__":
    main()
