"""Runs Python code of models in an embedded interpreter (Monty, MIT) without access to the machine.

The code has no file system, environment, network or other processes, and only computing modules of the standard library
(`math`, `re`, `datetime`, `json`, `itertools`, ...). Each run starts in a clean state in a worker process, with limits
on time, memory, recursion and output; a crashed worker affects no other run. Clocks can be read, sleep takes no time,
and `random` has a fixed seed, so that runs are reproducible.

Not limited: use of the processor within the time limit. Threads of the caller are not limited either; the pool has
`workers` processes, and further runs wait.

    with PythonSandbox() as sandbox:
        sandbox.run("x = 6\\nx * 7")      # SandboxResult(text="42", failed=False)
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontyError
from alpha_umi.roles.turns import Tool

# Seconds after the time limit in which the interpreter stops by itself; then its process is killed.
GRACE_S: Final = 1.0
CUT: Final = "... (cut: the output has more than {limit:,} characters)"
CRASHED: Final = "SandboxError: the interpreter ended, and nothing of this run is left"


@dataclass(frozen=True)
class Limits:
    """Limits of a run: seconds, bytes, depth of recursion, characters of code and of output."""

    seconds: float = 5.0
    memory: int = 128 * 2**20
    recursion: int = 500
    code: int = 10_000
    output: int = 4_000


@dataclass(frozen=True)
class SandboxResult:
    """The result of a run: its output and the value of its last line; if it failed, the last line is the error."""

    text: str
    failed: bool


class PythonSandbox:
    """A pool of workers, as a context manager. `run` is thread-safe."""

    def __init__(self, limits: Limits | None = None, *, workers: int = 2) -> None:
        self.limits = limits or Limits()
        self._workers = workers
        self._pool: Monty | None = None

    def __enter__(self) -> Self:
        # Imported here, because only runs need the interpreter.
        from pydantic_monty import Monty

        pool = Monty(
            max_processes=self._workers,
            request_timeout=self.limits.seconds + 2 * GRACE_S,
            feed_duration_limit_grace=GRACE_S,
        )
        self._pool = pool.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._pool is not None:
            self._pool.__exit__(*raised)
            self._pool = None

    def run(self, code: str) -> SandboxResult:
        """Run code. Errors of the code are in the result, and are not raised."""
        from pydantic_monty import MontyError

        if self._pool is None:
            raise RuntimeError("a sandbox runs code inside its `with` only")
        if len(code) > self.limits.code:
            return SandboxResult(f"SandboxError: the code has more than {self.limits.code:,} characters", failed=True)
        output = _Output(self.limits.output)
        try:
            self._feed(self._pool, print_last_value(code), output)
        except MontyError as error:
            return SandboxResult(output.followed_by(_reason(error, code.count("\n") + 1)), failed=True)
        return SandboxResult(output.text, failed=False)

    def _feed(self, pool: Monty, code: str, output: _Output) -> None:
        limits = self.limits
        with pool.checkout(
            limits={
                "max_feed_duration_secs": limits.seconds,
                "max_memory": limits.memory,
                "max_recursion_depth": limits.recursion,
            },
            os_policy={"sleep": "zero", "random_start": {"seed": 0}},
        ) as session:
            session.feed_run(code, print_callback=output.take)


def print_last_value(code: str) -> str:
    """Code that prints the value of its last line, if that is an expression.

    The value must be formatted inside the sandbox: nested lists that share elements can be exponentially long.
    """
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    try:
        with warnings.catch_warnings(action="ignore"):
            last = ast.parse(code).body[-1]
    except (SyntaxError, ValueError, RecursionError, MemoryError, IndexError):
        return f"{code}\nNone"
    if not isinstance(last, ast.Expr):
        return f"{code}\nNone"
    value = ast.get_source_segment(code, last)
    before = code.encode().split(b"\n")[: last.lineno]
    before[-1] = before[-1][: last.col_offset]
    return b"\n".join(before).decode() + f"_ = ({value}\n)\nif _ is not None: print(_)\nNone"


class _Output:
    """The output, up to a number of characters."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._text = ""
        self._cut = False

    def take(self, _stream: str, text: str) -> None:
        room = self._limit - len(self._text)
        self._text += text[:room]
        self._cut = self._cut or len(text) > room

    @property
    def text(self) -> str:
        return f"{self._text}\n{CUT.format(limit=self._limit)}" if self._cut else self._text.rstrip("\n")

    def followed_by(self, reason: str) -> str:
        return f"{self.text}\n{reason}" if self._text else reason


def _reason(error: MontyError, lines: int) -> str:
    """An exception as in the last line of a traceback, with its line in the code."""
    from pydantic_monty import MontyRuntimeError, MontySyntaxError

    if not isinstance(error, MontyRuntimeError | MontySyntaxError):
        return CRASHED
    message = " ".join(error.display("type-msg").split())
    places = [frame.line for frame in error.traceback()]
    return f"{message} (line {min(places[-1], lines)})" if places else message


CODE: Final = "code"
PYTHON: Final = Tool(
    "python",
    "Runs Python code in a sandbox without files and network. Answers with what it prints and the value of its last "
    "line.",
    {
        "type": "object",
        "properties": {CODE: {"type": "string", "description": "Python code, such as import math; math.sqrt(2) / 3"}},
        "required": [CODE],
        "additionalProperties": False,
    },
)
