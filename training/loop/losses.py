"""The losses of a stage, a JSON line a step, and their picture."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.errors import CannotWrite
from training.loop.observing import StepRecord
from training.writing import write_file


class LossFile:
    """A file that grows by a line a step. Only one of several processes `writes`."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self._path, self._writes = path, writes

    def start(self, step: int) -> None:
        """Drop the lines after a step, as the run goes on from there; a line that was cut short is dropped too.

        Raises `CannotWrite`.
        """
        if self._writes:
            kept = [line for line in read_losses(self._path) if line["step"] <= step]
            write_file(self._path, "".join(json.dumps(line) + "\n" for line in kept))

    def append(self, record: StepRecord) -> None:
        """Add a line. Raises `CannotWrite`."""
        if not self._writes:
            return
        line = {name: value for name, value in asdict(record).items() if value is not None}
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise CannotWrite(
                f"{self._path} cannot be written: {os.strerror(error.errno or 0)}",
                remedy="make room, and run the same command again: it goes on from the last checkpoint",
            ) from error


def read_losses(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of losses; none if it is not there."""
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def draw(path: Path, stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The loss curves of a run's stages as PNG: training thin, dev as points. Raises `CannotWrite`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (name, lines) in enumerate(stages.items()):
        color = f"C{number}"
        axes.plot([line["step"] for line in lines], [line["loss"] for line in lines], color=color, label=name, lw=0.8)
        dev = [line for line in lines if "dev_loss" in line]
        axes.plot([line["step"] for line in dev], [line["dev_loss"] for line in dev], "o", color=color, ms=4)
    axes.set(xlabel="step of the stage", ylabel="loss of target tokens (nats); points: dev", ylim=(0, None))
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_file(path, picture.getvalue())
