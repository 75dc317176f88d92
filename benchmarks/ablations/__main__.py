"""`python -m benchmarks.ablations`: lay runs that exist beside those without one part. Nothing is run."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from benchmarks.ablations.rows import Backbone, Wanted
from benchmarks.ablations.section import section
from benchmarks.results.document import replace_section
from benchmarks.variants.runs import SINGLE, VARIANTS
from recordings.errors import DataError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
CONFIG = "smollm2-135m-cpu"


def main() -> None:
    """Write the section."""
    options = _parser().parse_args()
    backbones = tuple(options.folder or [Backbone(CONFIG, ROOT / "build" / "variants")])
    wanted = Wanted(
        backbones=backbones,
        variants=tuple(options.variant or [name for name in VARIANTS if name != SINGLE]),
        seed=options.seed,
        suites=tuple(options.suite or ["rotbench-gpt4"]),
        whole_suites=tuple(options.whole_suite or ["gsm8k", "rotbench-gpt4"]),
        steps=options.steps,
        trajectories=options.trajectories,
    )
    try:
        replace_section(options.page, options.name, section(options.title, _command(options), wanted))
    except DataError as error:
        raise SystemExit(f"error: {error.message}" + (f"\n  → {error.remedy}" if error.remedy else "")) from error


def _backbone(text: str) -> Backbone:
    config, equals, folder = text.partition("=")
    if not (config and equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is no CONFIG=FOLDER")
    if not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {folder}")
    return Backbone(config, Path(folder))


def _command(options: argparse.Namespace) -> str:
    """The command as it can be given again, without what is about this machine."""
    given = ["python", "-m", "benchmarks.ablations"]
    given += [text for each in options.folder or () for text in ("--folder", f"{each.config}={each.folder.name}")]
    given += [text for each in options.variant or () for text in ("--variant", each)]
    given += [text for each in options.suite or () for text in ("--suite", Path(each).name)]
    given += [text for each in options.whole_suite or () for text in ("--whole-suite", Path(each).name)]
    given += ["--seed", str(options.seed)] if options.seed else []
    given += ["--steps", str(options.steps), "--trajectories", str(options.trajectories)]
    return shlex.join([*given, "--name", options.name, "--title", options.title])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ablations", description=(__doc__ or "").partition(": ")[2]
    )
    add = parser.add_argument
    add(
        "--folder", action="append", type=_backbone, metavar="CONFIG=FOLDER",
        help="a folder of `benchmarks.variants`, and the config of its backbone; again for another backbone",
    )  # fmt: skip
    add(
        "--variant", action="append", help=f"a variant that is held against {SINGLE}, again for another; all by default"
    )
    add("--suite", action="append", help="a suite of steps, again for another; rotbench-gpt4 by default")
    add(
        "--whole-suite", action="append",
        help="a suite of whole trajectories, again for another; gsm8k and rotbench-gpt4 by default",
    )  # fmt: skip
    add("--seed", type=int, default=0, help="the seed of the variants")
    add("--steps", type=int, default=200, help="steps, in the commands for what is not measured")
    add("--trajectories", type=int, default=50, help="whole trajectories, in the same")
    add("--name", default="ablations", help="name of the section")
    add("--title", default="Does splitting help, and where", help="title of the section")
    add("--page", type=Path, default=PAGE, help="the page that gets the section")
    return parser


if __name__ == "__main__":
    main()
