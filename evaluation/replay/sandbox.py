"""Python that a model writes, run in an embedded interpreter (Monty, MIT) that has nothing but a processor.

There is no file system, environment, network or other process in it, and of the standard library only what computes
(`math`, `re`, `datetime`, `json`, `itertools`, ...). Each run begins anew in a worker process, with limits on time,
memory, recursion and output; a worker that dies takes nothing with it. Clocks can be read, sleep takes no time, and
`random` begins with the same seed, so that a run can be repeated.

Not kept from: that a run uses a processor for as long as it may. Threads of the server that asks for runs are not
limited here; the pool has so many workers, and further runs wait.

    with PythonSandbox() as sandbox:
        sandbox.run("x = 6\\nx * 7")      # Ran(text="42", failed=False)
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pydantic_monty import Monty, MontyError

# Room beyond the time of a run in which the interpreter ends it by itself; then its process is ended.
GRACE_S: Final = 1.0
CUT: Final = "... (cut: the output has more than {limit:,} characters)"
CRASHED: Final = "SandboxError: the interpreter ended, and nothing of this run is left"


@dataclass(frozen=True)
class Limits:
    """What a run may use: seconds of computing, bytes, calls inside calls, characters of code and of output."""

    seconds: float = 5.0
    memory: int = 128 * 2**20
    recursion: int = 500
    code: int = 10_000
    output: int = 4_000


@dataclass(frozen=True)
class Ran:
    """What came of a run: what it printed and the value of its last line, or, in the last line, why it failed."""

    text: str
    failed: bool


class PythonSandbox:
    """A pool of workers, from `with` until its end. `run` may be called by several threads."""

    def __init__(self, limits: Limits | None = None, *, workers: int = 2) -> None:
        self.limits = limits or Limits()
        self._workers = workers
        self._pool: Monty | None = None

    def __enter__(self) -> Self:
        # Only who runs code needs the interpreter.
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

    def run(self, code: str) -> Ran:
        """Run code. Whatever it does is told in the answer; nothing is raised."""
        from pydantic_monty import MontyError

        if self._pool is None:
            raise RuntimeError("a sandbox runs code inside its `with` only")
        if len(code) > self.limits.code:
            return Ran(f"SandboxError: the code has more than {self.limits.code:,} characters", failed=True)
        output = _Output(self.limits.output)
        try:
            self._feed(self._pool, showing_the_last_value(code), output)
        except MontyError as error:
            return Ran(output.followed_by(_reason(error, code.count("\n") + 1)), failed=True)
        return Ran(output.text, failed=False)

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


def showing_the_last_value(code: str) -> str:
    """Code that prints the value of its last line, if it is an expression with one, inside the sandbox.

    The value itself must not leave it: lists that hold each other twice grow without bound where they are written out.
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
    """What is printed, up to a number of characters."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = ""
        self._cut = False

    def take(self, _stream: str, text: str) -> None:
        room = self._limit - len(self._kept)
        self._kept += text[:room]
        self._cut = self._cut or len(text) > room

    @property
    def text(self) -> str:
        return f"{self._kept}\n{CUT.format(limit=self._limit)}" if self._cut else self._kept.rstrip("\n")

    def followed_by(self, reason: str) -> str:
        return f"{self.text}\n{reason}" if self._kept else reason


def _reason(error: MontyError, lines: int) -> str:
    """An exception as the last line of a traceback says it, and the line of the code that it came from."""
    from pydantic_monty import MontyRuntimeError, MontySyntaxError

    if not isinstance(error, MontyRuntimeError | MontySyntaxError):
        return CRASHED
    message = " ".join(error.display("type-msg").split())
    places = [frame.line for frame in error.traceback()]
    return f"{message} (line {min(places[-1], lines)})" if places else message
