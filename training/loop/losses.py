"""The losses of a stage as JSON Lines, one step a line, and their plot."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.errors import CannotWrite
from training.loop.observer import StepRecord
from training.writing import write_file


class LossFile:
    """The file of losses. Only one of several processes `writes`."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self._path, self._writes = path, writes

    def start(self, step: int) -> None:
        """Drop the lines after a step, from which the run resumes, and an incomplete last line.

        Raises `CannotWrite`.
        """
        if self._writes:
            retained = [line for line in read_losses(self._path) if line["step"] <= step]
            write_file(self._path, "".join(json.dumps(line) + "\n" for line in retained))

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
                remedy="make room, and run the same command again: it resumes from the last checkpoint",
            ) from error


def read_losses(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a file of losses; empty if there is no file."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records


def draw(path: Path, stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """The loss curves of a run's stages as PNG: train as lines, dev as points. Raises `CannotWrite`."""
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
