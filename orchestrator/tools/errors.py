"""Errors of the tools.

ToolsError
├── ToolSourceError             a tool source cannot be used; its registration must be changed
│   ├── DocumentError           its document cannot be read; `field` is a JSON pointer into it
│   ├── SourceUnreachableError  its document could not be fetched; trying again later may help
│   ├── SourceExistsError       another source has its name, or a tool of the same name
│   └── UnknownSourceError      no source has this name
├── UnknownToolError            no tool has this name; similar names are suggested
├── ArgumentError               an argument cannot be put into a request; the model can repair the call
└── EgressError                 a request could not be made or answered
    ├── RequestRefused          the egress guard refused it; nothing was sent
    ├── ConnectionFailed        no connection; nothing was sent
    └── ExchangeFailed          it was sent at least in part, and no usable answer came
        └── DeadlineExceeded    ... within the time
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final


class ToolsError(Exception):
    """Base of what this package raises."""


class ToolSourceError(ToolsError):
    """A tool source cannot be used. `field` names the part at fault, `remedy` what to do about it."""

    def __init__(self, message: str, *, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {message}; {remedy}")
        self.message = message
        self.field = field
        self.remedy = remedy


class DocumentError(ToolSourceError):
    """The document cannot be used. `field` is a JSON pointer into it (`#` is the root)."""


class SourceUnreachableError(ToolSourceError):
    """The document could not be fetched."""


class SourceExistsError(ToolSourceError):
    """The source, or one of its tools, has the name of one that is registered."""


class UnknownSourceError(ToolSourceError):
    """No source has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"there is no tool source {name!r}",
            field="name",
            remedy=_did_you_mean([name], known, what="source"),
        )


class UnknownToolError(ToolsError):
    """No tools have these names. `suggestions` are registered names that look similar, best first."""

    def __init__(self, names: list[str], known: Iterable[str]) -> None:
        known = list(known)
        self.names = names
        self.suggestions = _similar(names, known)
        self.remedy = _did_you_mean(names, known, what="tool")
        quoted = ", ".join(repr(name) for name in names)
        super().__init__(f"no tool is registered as {quoted}; {self.remedy}")


ALL_ARGUMENTS: Final = "(all)"


class ArgumentError(ToolsError):
    """An argument cannot be sent. `argument` is its name in the tool's schema, or `ALL_ARGUMENTS`."""

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(f"argument {argument!r} {reason}")
        self.argument = argument


class EgressError(ToolsError):
    """A request could not be made or answered. The text names no address that a name resolved to."""


class RequestRefused(EgressError):
    """The egress guard refused the request; nothing was sent."""


class ConnectionFailed(EgressError):
    """No connection was established; nothing was sent."""


class ExchangeFailed(EgressError):
    """The request may have been acted upon, but no usable answer came."""


class DeadlineExceeded(ExchangeFailed):
    """No complete answer came within the time limit."""


def _similar(names: Iterable[str], known: Iterable[str]) -> list[str]:
    candidates = list(known)
    similar = [match for name in names for match in difflib.get_close_matches(name, candidates, n=3)]
    return list(dict.fromkeys(similar))


def _did_you_mean(names: Iterable[str], known: Iterable[str], *, what: str) -> str:
    candidates = list(known)
    similar = _similar(names, candidates)
    if similar:
        return "did you mean " + " or ".join(repr(name) for name in similar) + "?"
    if not candidates:
        return f"no {what} is registered at all; register a source first"
    return f"registered are {', '.join(sorted(candidates)[:20])}"
