"""`python -m benchmarks.variants`: train, export and measure variants of GLPFT, and lay them side by side.

What is whole in the folder is not done again, whatever ended the command before, and the folder may be taken to another
machine in between. The section of the page is written anew after each variant.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.processes import ProcessFailed
from benchmarks.results.document import replace_section
from benchmarks.variants.carrying_out import Work, alone
from benchmarks.variants.runs import DONOR, VARIANTS, Wanted, table_order
from benchmarks.variants.section import section
from cli.errors import EXIT_INTERRUPTED
from cli.interrupts import ending_signals_interrupt
from recordings.errors import DataError
from training.errors import TrainingError
from training.recipes.loading import load_variant
from training.recipes.model import Variant

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results.md"
CONSOLE = Console(stderr=True, highlight=False)


def main() -> None:
    """Do what is missing, and write the section."""
    parser = _parser()
    options = parser.parse_args()
    try:
        variants = tuple(map(load_variant, map(_place, options.variant or VARIANTS)))
        if options.share_global and DONOR not in (variant.name for variant in variants):
            parser.error(f"--share-global: it is the first stage of {DONOR}, so add --variant {DONOR}")
        if options.data is None and not options.tables_only:
            parser.error("--data: name the folder of `alpha-umi train prepare`; only --tables-only needs none")
        with ending_signals_interrupt():
            _carry_out(options, variants)
    except KeyboardInterrupt:
        CONSOLE.print("interrupted; the same command goes on")
        raise SystemExit(EXIT_INTERRUPTED) from None
    except (ProcessFailed, TrainingError, DataError) as error:
        remedy = getattr(error, "remedy", None)
        raise SystemExit(f"error: {error}" + (f"\n  → {remedy}" if remedy else "")) from error


def _carry_out(options: argparse.Namespace, variants: tuple[Variant, ...]) -> None:
    folder = options.folder.absolute()
    seeds, suites = tuple(options.seed or [0]), tuple(map(_place, options.suite or ["rotbench-gpt4"]))
    runs = table_order(folder, [variant.name for variant in variants], seeds)

    def write() -> None:
        replace_section(options.page, options.name, section(options.title, _command(options), runs, suites))

    if not options.tables_only:
        wanted = Wanted(
            folder, options.data.absolute(), _place(options.config), variants, seeds, suites, options.steps,
            options.max_tokens, options.share_global,
        )  # fmt: skip
        with alone(folder) as locked:
            _work(Work(wanted, locked, CONSOLE.print), write, measures=not options.train_only)
    if not options.train_only:
        write()


def _work(work: Work, write: Callable[[], None], *, measures: bool) -> None:
    work.check()
    for variant, run in work.runs():
        work.train(variant, run)
        if measures:
            work.measure(variant, run)
            write()


def _place(name: str) -> str:
    """A recipe or a suite by its name, or its file wherever the commands that take it run."""
    return str(Path(name).absolute()) if name.endswith((".yaml", ".yml")) else name


def _command(options: argparse.Namespace) -> str:
    """The command as it can be given again, without what is about this machine."""
    given = ["python", "-m", "benchmarks.variants", "--data", options.data.name if options.data else "PREPARED"]
    given += ["--config", Path(options.config).name]
    given += [text for variant in options.variant or () for text in ("--variant", Path(variant).name)]
    given += [text for seed in options.seed or () for text in ("--seed", str(seed))]
    given += ["--max-tokens", str(options.max_tokens)] if options.max_tokens else []
    given += ["--share-global"] if options.share_global else []
    given += ["--steps", str(options.steps)]
    given += [text for suite in options.suite or () for text in ("--suite", Path(suite).name)]
    return shlex.join([*given, "--name", options.name, "--title", options.title])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.variants", description=(__doc__ or "").partition(": ")[2].splitlines()[0]
    )
    add = parser.add_argument
    add("--data", type=Path, help="folder of prepared data")
    add("--config", default="smollm2-135m", help="name or file of the config")
    add("--variant", action="append", help="name or file of a variant, again for another; all by default")
    add("--seed", action="append", type=int, help="a seed, again for another; 0 by default")
    add("--max-tokens", type=int, help="bound of each variant's training")
    add("--share-global", action="store_true", help=f"with --max-tokens: Single-LLM is the first stage of {DONOR}")
    add("--steps", type=int, default=200, help="steps of each suite that are measured")
    add("--suite", action="append", help="a suite, again for another; rotbench-gpt4 by default")
    add("--train-only", action="store_true", help="train and export, and measure another time, or elsewhere")
    add("--tables-only", action="store_true", help="do nothing but write the section of what is there")
    add("--folder", type=Path, default=ROOT / "build" / "variants", help="where all of it lies")
    add("--name", default="variants", help="name of the section")
    add("--title", default="The variants", help="title of the section")
    add("--page", type=Path, default=PAGE, help="the page that gets the section")
    return parser


if __name__ == "__main__":
    main()
