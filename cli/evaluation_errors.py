"""What keeps role models from being measured, as the message of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cli.errors import CommandError, UsageProblem
from evaluation.errors import ServiceAway
from recordings.errors import DataError

ANOTHER = "name a file in a folder that is there, that you may write to, and that has room"


@contextmanager
def reported() -> Iterator[None]:
    """Raises `CommandError` for what the block raises."""
    try:
        yield
    except ServiceAway as error:
        raise CommandError(error.message, remedy=error.remedy) from error
    except DataError as error:
        raise UsageProblem(error.message, remedy=error.remedy) from error
    except OSError as error:
        raise UsageProblem(f"{error.filename} cannot be written: {error.strerror}", remedy=ANOTHER) from error
    except ModuleNotFoundError as error:
        raise UsageProblem(
            f"measuring needs the package {error.name}", remedy="pip install 'alpha-umi[evaluation]'"
        ) from error
