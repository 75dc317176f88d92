"""What can keep a command from doing its work. Each error carries the exit code that the shell gets.

CommandError
├── UsageProblem         the command cannot be carried out as it was given (2)
│   ├── PortTaken        a service's port is in use
│   ├── StateUnusable    the state folder cannot be used, or another command is at work in it
│   └── Unreachable      no orchestrator answers at the address
├── Refused              the orchestrator answered with a problem document (2 for 4xx, 1 for 5xx)
├── NotUnderstood        an answer or a log is not what it should be (1)
├── StartFailed          a service did not come up (1)
└── EngineFailed         an engine of the command itself did not start, or died on the way (1)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alpha_umi.contract.problems import Problem
from alpha_umi.contract.stream_events import EventNotUnderstood

EXIT_FAILED = 1
EXIT_USAGE = 2
# No error: a gate found the second of two runs worse than the first.
EXIT_WORSE = 3
EXIT_INTERRUPTED = 130


class CommandError(Exception):
    """Base of everything that a command reports as a message. `remedy` says what to do about it."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class UsageProblem(CommandError):
    """The command cannot be carried out as it was given."""

    exit_code = EXIT_USAGE


class PortTaken(UsageProblem):
    """A service's port is in use, or was given to two services."""


class StateUnusable(UsageProblem):
    """The state folder cannot be used."""


class Unreachable(UsageProblem):
    """No orchestrator answers at the address."""


class Refused(CommandError):
    """The orchestrator answered with a problem document."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.title}: {problem.detail}")
        self.problem = problem
        self.exit_code = EXIT_FAILED if problem.status >= 500 else EXIT_USAGE


SAME_VERSION = "use the same version of alpha-umi here and on the server"


class NotUnderstood(CommandError):
    """An answer, an event or a log row is not what it should be."""


class StartFailed(CommandError):
    """A service did not come up; everything that was started has been ended. `log` holds its last lines."""

    def __init__(self, message: str, *, log: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.log = log


class EngineFailed(CommandError):
    """An engine that the command runs itself cannot be used. `log` holds the last lines that it wrote."""

    def __init__(self, message: str, *, log: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.log = log


@contextmanager
def understood() -> Iterator[None]:
    """Within the block an event that cannot be understood is the command's error."""
    try:
        yield
    except EventNotUnderstood as error:
        raise NotUnderstood(str(error), remedy=SAME_VERSION) from error
