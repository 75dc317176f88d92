"""Files that a command writes are none of those that it reads, and not each other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cli.errors import UsageProblem


def require_apart(read: Iterable[Path], written: Mapping[str, Path | None]) -> None:
    """Raises `UsageProblem` for an option (its name and file) whose file is read, or is another option's."""
    taken = {path: f"{path} is what the command reads" for path in read}
    for option, path in written.items():
        if path is None:
            continue
        for other, why in taken.items():
            if _same(path, other):
                raise UsageProblem(f"{option}: {why}", remedy="name another file")
        taken[path] = f"{path} is the file of {option} as well"


def _same(one: Path, other: Path) -> bool:
    """Whether both are one file, through links too, also where it is not there yet."""
    try:
        return one.samefile(other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)
