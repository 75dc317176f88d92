"""`python -m benchmarks.examples`: the example questions, asked of a whole system, and judged by their facts.

The system is brought up for it, unless the address of one is given: role services, orchestrator and the example tool
API. Answers lie in a folder with their whole trajectories; the command goes on where it was ended, also by a kill.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from benchmarks.brought_up import brought_up
from benchmarks.examples.asking import Target, ask_questions
from benchmarks.examples.questions import judged, read_questions
from benchmarks.examples.section import section
from benchmarks.processes import ROOT, ProcessFailed
from benchmarks.results.document import replace_section
from cli.errors import EXIT_INTERRUPTED
from cli.interrupts import ending_signals_interrupt, run_until_signal
from cli.options import own_key, state_folder
from cli.state import ORCHESTRATOR
from evaluation.whole_run import AskedRecord, read_whole_run
from recordings.errors import DataError

PAGE = ROOT / "docs" / "results.md"
CONSOLE = Console(stderr=True, highlight=False)


def main() -> None:
    """Ask what was not asked yet, and write the section."""
    options = _options()
    path: Path = options.folder / f"{options.name}.jsonl"
    try:
        if not options.tables_only:
            options.folder.mkdir(parents=True, exist_ok=True)
            _ask(options, path)
        run = read_whole_run(path)
        all_judged = judged(read_questions(), run)
    except (DataError, ProcessFailed) as error:
        sys.exit(f"{error}\n  → {error.remedy}" if isinstance(error, DataError) and error.remedy else str(error))
    except KeyboardInterrupt:
        CONSOLE.print("interrupted; the same command goes on")
        raise SystemExit(EXIT_INTERRUPTED) from None
    replace_section(options.page, options.name, section(options.title, _command(options), run.about, all_judged))
    print(f"{sum(each.right for each in all_judged)} of {len(all_judged)} answered with the expected facts")


def _ask(options: argparse.Namespace, path: Path) -> None:
    with ending_signals_interrupt(), _system(options) as target:
        asking = ask_questions(
            target, read_questions(), path,
            max_steps=options.max_steps, concurrency=options.concurrency, on_asked=_show,
        )  # fmt: skip
        run_until_signal(asking)


@contextlib.contextmanager
def _system(options: argparse.Namespace) -> Iterator[Target]:
    if options.url:
        up = state_folder(None).read_run()
        # The token of what is up is shown to nobody else.
        own = up is not None and up.url_of(ORCHESTRATOR) == options.url.rstrip("/")
        token = up.role_token if up is not None and own else os.environ.get("ALPHA_UMI_ROLE_TOKEN")
        yield Target(options.url, options.key, token)
        return
    models = () if options.models is None else ("--models", str(options.models.absolute()))
    CONSOLE.print("bringing the system up")
    with brought_up(options.folder / f"state-{options.name}", *models, environment={}) as run:
        yield Target(run.url_of(ORCHESTRATOR) or "", own_key(), run.role_token)


def _show(record: AskedRecord) -> None:
    trajectory = record.trajectory
    CONSOLE.print(Text(f"{record.recorded}: {trajectory.status}, {len(trajectory.steps)} steps: {trajectory.answer}"))


def _command(options: argparse.Namespace) -> str:
    """The command as it can be given again, without what is about this machine."""
    given = ["python", "-m", "benchmarks.examples", "--name", options.name, "--title", options.title]
    given += ["--max-steps", str(options.max_steps)]
    given += [] if options.concurrency == 1 else ["--concurrency", str(options.concurrency)]
    given += [] if options.models is None else ["--models", _shown(options.models.absolute())]
    return shlex.join(given)


def _shown(folder: Path) -> str:
    return str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else folder.name


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", help="address of an orchestrator that is up; else a system is brought up")
    parser.add_argument("--key", default=os.environ.get("ALPHA_UMI_API_KEY"), help="its key, where it asks for one")
    parser.add_argument(
        "--models", type=Path, help="folder with a model or adapter for each role; else what `alpha-umi up` takes"
    )
    parser.add_argument("--max-steps", type=int, default=6, help="steps after which an answer is demanded")
    parser.add_argument("--concurrency", type=int, default=1, help="questions that are asked at a time")
    parser.add_argument("--name", default="examples", help="name of the section and of its file of answers")
    parser.add_argument("--title", default="The example questions", help="title of the section")
    parser.add_argument("--tables-only", action="store_true", help="ask nothing: write the section of what is there")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "examples", help="where the answers lie")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that gets the section")
    return parser.parse_args()


if __name__ == "__main__":
    main()
