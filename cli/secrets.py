"""Keys that commands are given: in a file or in the environment, not on the command line, which others can see."""

from __future__ import annotations

import os
from pathlib import Path

from cli.errors import UsageProblem

MAX_CHARACTERS = 4096
_REMEDY = "write the key, and nothing else, into it"


def secret(file: Path | None, option: str, variable: str) -> str:
    """The key in a file, else that of the environment, else none. Raises `UsageProblem` for what cannot be a key."""
    if file is None:
        return _checked(os.environ.get(variable, "").strip(), variable)
    try:
        key = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise UsageProblem(f"{option}: {file} cannot be read: {error.strerror}", remedy="name a file") from error
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{option}: {file} holds no key", remedy=_REMEDY) from error
    if not key:
        raise UsageProblem(f"{option}: {file} is empty", remedy=_REMEDY)
    return _checked(key, option)


def _checked(key: str, where: str) -> str:
    """Only what fits into a header. The error does not show it."""
    if not key.isascii() or not key.isprintable() or " " in key or len(key) > MAX_CHARACTERS:
        raise UsageProblem(f"{where}: this is no key", remedy="give one line of printable characters without spaces")
    return key
