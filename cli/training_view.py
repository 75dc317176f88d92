"""Training on the terminal: the prepared data set, a progress bar per stage, and the costs of a run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from alpha_umi.plain_text import plain_line
from alpha_umi.roles.turns import Role
from evaluation.page.blocks import Block, Paragraph, Table
from evaluation.page.terminal import print_blocks

if TYPE_CHECKING:
    from training.examples import DatasetRecord
    from training.loop.observer import StepRecord

_ROLES: Final[tuple[Role, ...]] = ("backbone", "planner", "caller", "summarizer")
MAX_BROKEN: Final = 5
# Seconds between two lines if the console is not a terminal.
EVERY_S = 30.0
# Seconds over which the speed is averaged for the remaining time.
SPEED_OVER_S = 300.0


class RunView:
    """An observer that prints the progress of a run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]} · {task.fields[speed]} tokens/s"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=console,
            speed_estimate_period=SPEED_OVER_S,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._stage, self._first, self._steps = "", 1, 0
        self._last_line_at = self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Start the progress bars."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the progress bars."""
        self._bar.stop()

    def on_stage(self, name: str, *, first_step: int, steps: int) -> None:
        """Add a bar for a stage."""
        self._stage, self._first, self._steps = name, first_step, steps
        self._began = time.monotonic()
        self._task = self._bar.add_task(name, total=steps, completed=first_step - 1, loss="-", speed="-")
        going_on = f", from step {first_step}" if first_step > 1 else ""
        if not self._console.is_terminal:
            self.tell(f"{name}: {steps:,} steps{going_on}")

    def on_step(self, record: StepRecord) -> None:
        """Update the bar of the stage."""
        if self._task is not None:
            self._bar.update(
                self._task, completed=record.step, loss=f"{record.loss:.3f}", speed=f"{record.tokens_per_second:,.0f}"
            )
        now = time.monotonic()
        due = now - self._last_line_at >= EVERY_S and not self._console.is_terminal
        if record.dev_loss is not None or due:
            self._last_line_at = now
            dev = "" if record.dev_loss is None else f", dev {record.dev_loss:.3f}"
            self.tell(
                f"{self._stage} {record.step:,}/{self._steps:,}: loss {record.loss:.3f}{dev}, "
                f"{record.tokens_per_second:,.0f} tokens/s ({record.computed_tokens / record.tokens:.0%} computed), "
                f"{self._left(record.step, now)} left"
            )

    def on_done(self, name: str) -> None:
        """Print that a stage is complete."""
        self.tell(f"{name}: complete")

    def tell(self, text: str) -> None:
        """Print a line above the bars."""
        self._bar.console.print(Text(plain_line(text)), soft_wrap=True)

    def _left(self, step: int, now: float) -> str:
        seconds = (now - self._began) / (step - self._first + 1) * (self._steps - step)
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def print_costs(console: Console, folder: Path) -> None:
    """Print the table of `costs.json`, if the run has one."""
    path = folder / "costs.json"
    if not path.is_file():
        return
    costs: dict[str, Any] = json.loads(path.read_bytes())
    header = ["stage", "steps", "tokens", "computed", "time", "tokens/s", "peak memory", "storage"]
    rows = [
        [
            name, f"{stage['steps']:,}", f"{stage['tokens']:,}", _optional(stage.get("computed_tokens")),
            f"{stage['seconds']:,.0f} s",
            f"{stage['tokens_per_second']:,.0f}", f"{stage['peak_memory_bytes'] / 2**20:,.0f} MiB",
            f"{stage['bytes'] / 2**20:,.1f} MiB",
        ]
        for name, stage in costs["stages"].items()
    ]  # fmt: skip
    summary = f"{folder}: {costs['tokens']:,} tokens in {costs['seconds']:,.0f} s; storage of the roles "
    print_blocks(console, [Table("", header, rows), Paragraph(f"{summary}{costs['storage_ratio']} x one model")])


def _optional(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def dataset_blocks(record: DatasetRecord) -> Iterator[Block]:
    """The examples by source, what was dropped and why, the tokens by role, and broken entries."""
    tables = (
        ("Examples", ["source", "split", "trajectories", *_ROLES], 2, _examples(record)),
        ("Dropped", ["source", "what", "why", "how many"], 3, _dropped(record)),
        ("Tokens", ["split", "role", "prompt, median", "90th percentile", "shortened", "with loss", "all"], 2,
         _tokens(record)),
    )  # fmt: skip
    for caption, header, words, rows in tables:
        if printed := [[cell if isinstance(cell, str) else f"{cell:,}" for cell in row] for row in rows]:
            yield Table(caption, header, printed, range(words))
    broken = [place for source in record.sources.values() for place in source.broken]
    if broken:
        yield Paragraph("")
        yield Paragraph(f"{len(broken)} broken entries were skipped:", warning=True)
        yield from (Paragraph(f"  {place}", warning=True) for place in broken[:MAX_BROKEN])
    if len(broken) > MAX_BROKEN:
        yield Paragraph(f"  and {len(broken) - MAX_BROKEN} more, which dataset.json names", warning=True)


def _examples(record: DatasetRecord) -> Iterator[Sequence[str | int]]:
    for name, source in record.sources.items():
        for split, trajectories in source.trajectories.items():
            counts = [trajectories, *(source.examples[split][role] for role in _ROLES)]
            if any(counts):
                yield [name, split, *counts]


def _dropped(record: DatasetRecord) -> Iterator[Sequence[str | int]]:
    for name, source in record.sources.items():
        for what, counts in source.dropped.items():
            dropped = what if what in ("trajectories", "steps") else f"examples of the {what}"
            yield from ((name, dropped, why, count) for why, count in counts.items())


def _tokens(record: DatasetRecord) -> Iterator[Sequence[str | int]]:
    for split, roles in record.tokens.items():
        for role, each in roles.items():
            yield [split, role, each.prompt_median, each.prompt_p90, each.shortened, each.targets, each.total]
