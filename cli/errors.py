"""The errors of commands. Each has the exit code of the process.

CommandError ├── UsageProblem the arguments cannot be used (2) │ ├── PortTaken a service's port is in use │ └──
StateUnusable the state folder cannot be used, or another command uses it ├── NotUnderstood a response or a log has not
the expected form (1) ├── StartFailed a service did not come up (1) └── EngineFailed an in-process engine did not start,
or died (1)

Errors of the client (`alpha_umi.client.errors`) are reported as they are; `exit_code_of` has their exit codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alpha_umi.client.errors import ClientError, RequestRefused, StreamBroken, Unavailable
from alpha_umi.contract.stream_events import EventNotUnderstood

EXIT_FAILED = 1
EXIT_USAGE = 2
# Not an error: by a gate the second of two runs is worse than the first.
EXIT_WORSE = 3
EXIT_INTERRUPTED = 130


class CommandError(Exception):
    """Base of all errors that a command reports as a message. `remedy` is the suggested action, `log` a log's end."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, log: str = "", remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.log = log
        self.remedy = remedy


class UsageProblem(CommandError):
    """The arguments cannot be used."""

    exit_code = EXIT_USAGE


class PortTaken(UsageProblem):
    """A service's port is in use, or set for two services."""


class StateUnusable(UsageProblem):
    """The state folder cannot be used."""


SAME_VERSION = "use the same version of alpha-umi here and on the server"


class NotUnderstood(CommandError):
    """A response, an event or a log row has not the expected form."""


class StartFailed(CommandError):
    """A service did not become ready; all started services were stopped. `log` has its last lines."""


class EngineFailed(CommandError):
    """An in-process engine cannot be used. `log` has the last lines of its output."""


def exit_code_of(error: CommandError | ClientError) -> int:
    """2 if the arguments or the request cannot be used, 1 for all other errors."""
    match error:
        case CommandError():
            return error.exit_code
        case RequestRefused(problem=problem) | Unavailable(problem=problem) if problem is not None:
            return EXIT_FAILED if problem.status >= 500 else EXIT_USAGE
        case StreamBroken():
            return EXIT_FAILED
        case Unavailable():
            return EXIT_USAGE
        case _:
            return EXIT_FAILED


@contextmanager
def understood() -> Iterator[None]:
    """Raises `NotUnderstood` for an event that the block cannot parse."""
    try:
        yield
    except EventNotUnderstood as error:
        raise NotUnderstood(str(error), remedy=SAME_VERSION) from error


@contextmanager
def translate_evaluation_errors() -> Iterator[None]:
    """Raises `CommandError` for the errors of the block: exit code 1 for a server's fault, 2 for the arguments'."""
    from evaluation.errors import RunInterrupted
    from recordings.errors import DataError

    try:
        yield
    except (RunInterrupted, Unavailable) as error:
        raise CommandError(error.message, remedy=error.remedy) from error
    except (DataError, ClientError) as error:
        raise UsageProblem(error.message, remedy=error.remedy) from error
    except OSError as error:
        raise UsageProblem(
            f"{error.filename} cannot be written: {error.strerror}",
            remedy="name a file in an existing, writable folder with free space",
        ) from error
    except ModuleNotFoundError as error:
        raise UsageProblem(
            f"evaluation needs the package {error.name}", remedy="pip install 'alpha-umi[evaluation]'"
        ) from error


@contextmanager
def translate_training_errors() -> Iterator[None]:
    """Raises `CommandError` for the errors of the block: exit code 1 for the machine's fault, 2 for the arguments'."""
    from alpha_umi.serving.manifest import ManifestError
    from alpha_umi.serving.weights.errors import CacheUnusable
    from recordings.errors import DataError
    from training.errors import CannotWrite, LossNotFinite, TrainingError

    try:
        yield
    except (CannotWrite, LossNotFinite) as error:
        raise CommandError(error.message, remedy=error.remedy) from error
    except (TrainingError, DataError) as error:
        raise UsageProblem(error.message, remedy=error.remedy) from error
    except CacheUnusable as error:
        raise CommandError(str(error)) from error
    except ManifestError as error:
        raise UsageProblem(str(error)) from error
    except ModuleNotFoundError as error:
        raise UsageProblem(
            f"training needs the package {error.name}", remedy="pip install 'alpha-umi[serving,training]'"
        ) from error
