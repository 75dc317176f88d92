"""Redirect the output of in-process engines to a file; they and their child processes write to the standard streams."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rich.console import Console

from alpha_umi import telemetry

_STREAMS = (1, 2)


@contextlib.contextmanager
def redirect_output(log: Path) -> Iterator[Console]:
    """Within the block everything that is written to standard output and error is appended to the file.

    Yields a console that still writes to the original standard error. Raises `OSError`.
    """
    with log.open("a", encoding="utf-8", errors="replace", buffering=1) as file, contextlib.ExitStack() as stack:
        terminal = stack.enter_context(_terminal())
        stack.enter_context(_descriptors(file.fileno()))
        stack.enter_context(contextlib.redirect_stdout(file))
        stack.enter_context(contextlib.redirect_stderr(file))
        stack.enter_context(_log_lines())
        yield Console(file=terminal, highlight=False)


@contextlib.contextmanager
def _terminal() -> Iterator[TextIO]:
    """A copy of standard error that redirection of its descriptor does not affect."""
    try:
        descriptor = sys.stderr.fileno()
    except io.UnsupportedOperation:  # not a file
        yield sys.stderr
        return
    with open(os.dup(descriptor), "w", encoding=sys.stderr.encoding, errors="replace", buffering=1) as copy:
        yield copy


@contextlib.contextmanager
def _descriptors(file: int) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(stream) for stream in _STREAMS]
    for stream in _STREAMS:
        os.dup2(file, stream)
    try:
        yield
    finally:
        for stream, old in zip(_STREAMS, before, strict=True):
            os.dup2(old, stream)
            os.close(old)


@contextlib.contextmanager
def _log_lines() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers, root.level
    # No log line for each request.
    telemetry.configure_logs(service="alpha-umi", form="console", level="WARNING")
    try:
        yield
    finally:
        root.handlers = before
        root.setLevel(level)
