"""Show a model being trained: a bar a stage on a terminal, a line now and then elsewhere; and what it has cost."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

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
from rich.table import Table
from rich.text import Text

from cli.plain_text import plain_line

if TYPE_CHECKING:
    from training.loop.observer import StepRecord

# Seconds between two lines where no terminal is.
EVERY_S = 30.0
# Seconds over which the speed, and so the time that is left, is averaged.
SPEED_OVER_S = 300.0


class RunView:
    """An observer of a run that shows it on a console."""

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
        self._told = self._began = time.monotonic()

    def __enter__(self) -> Self:
        """Start to show."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the bars as they are."""
        self._bar.stop()

    def on_stage(self, name: str, *, first_step: int, steps: int) -> None:
        """A bar for a stage."""
        self._stage, self._first, self._steps = name, first_step, steps
        self._began = time.monotonic()
        self._task = self._bar.add_task(name, total=steps, completed=first_step - 1, loss="-", speed="-")
        going_on = f", from step {first_step}" if first_step > 1 else ""
        if not self._console.is_terminal:
            self.tell(f"{name}: {steps:,} steps{going_on}")

    def on_step(self, record: StepRecord) -> None:
        """One step further."""
        if self._task is not None:
            self._bar.update(
                self._task, completed=record.step, loss=f"{record.loss:.3f}", speed=f"{record.tokens_per_second:,.0f}"
            )
        now = time.monotonic()
        due = now - self._told >= EVERY_S and not self._console.is_terminal
        if record.dev_loss is not None or due:
            self._told = now
            dev = "" if record.dev_loss is None else f", dev {record.dev_loss:.3f}"
            self.tell(
                f"{self._stage} {record.step:,}/{self._steps:,}: loss {record.loss:.3f}{dev}, "
                f"{record.tokens_per_second:,.0f} tokens/s, {self._left(record.step, now)} left"
            )

    def on_done(self, name: str) -> None:
        """A stage is complete."""
        self.tell(f"{name}: complete")

    def tell(self, text: str) -> None:
        """Print a line above the bars."""
        self._bar.console.print(Text(plain_line(text)), soft_wrap=True)

    def _left(self, step: int, now: float) -> str:
        seconds = (now - self._began) / (step - self._first + 1) * (self._steps - step)
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def print_costs(console: Console, folder: Path) -> None:
    """The table of `costs.json`, if the run has one."""
    path = folder / "costs.json"
    if not path.is_file():
        return
    costs: dict[str, Any] = json.loads(path.read_bytes())
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("stage", "steps", "tokens", "time", "tokens/s", "peak memory", "storage"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for name, stage in costs["stages"].items():
        table.add_row(
            plain_line(name), f"{stage['steps']:,}", f"{stage['tokens']:,}", f"{stage['seconds']:,.0f} s",
            f"{stage['tokens_per_second']:,.0f}", f"{stage['peak_memory_bytes'] / 2**20:,.0f} MiB",
            f"{stage['bytes'] / 2**20:,.1f} MiB",
        )  # fmt: skip
    console.print(table)
    told = f"{plain_line(str(folder))}: {costs['tokens']:,} tokens in {costs['seconds']:,.0f} s; storage of the roles "
    console.print(Text(f"{told}{costs['storage_ratio']} x one model"), soft_wrap=True)
