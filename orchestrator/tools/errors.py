"""Errors of the tools.

ToolsError
├── ToolSourceError             a tool source cannot be used; its registration must be changed
│   ├── DocumentError           its document cannot be read; `field` is a JSON pointer into it
│   ├── SourceUnreachableError  its document could not be fetched; trying again later may help
│   ├── SourceExistsError       another source has its name
│   ├── SourceLimitError        its owner has as many sources or tools as allowed
│   └── UnknownSourceError      no source has this name
├── SourcesLoading              sources that may have the tools are still being loaded; try again later
├── ToolGone                    the tool that was chosen is not registered any more, or is another one now
├── UnknownToolError            no tool has this name, or several have; names to use are suggested
├── ArgumentError               an argument cannot be put into a request; the model can repair the call
└── EgressError                 a request could not be made or answered
    ├── RequestRefused          the egress guard refused it; nothing was sent
    ├── ConnectionFailed        no connection; nothing was sent
    └── ExchangeFailed          it was sent at least in part, and no usable answer came
        └── DeadlineExceeded    ... within the time
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from orchestrator.tools.model import LeftOut


class ToolsError(Exception):
    """Base of what this package raises."""


class ToolSourceError(ToolsError):
    """A tool source cannot be used. `field` names the part at fault, `remedy` what to do about it.

    `left_out` are all operations of a document of which none can be offered.
    """

    def __init__(self, message: str, *, field: str, remedy: str) -> None:
        super().__init__(f"{field}: {message}; {remedy}")
        self.message = message
        self.field = field
        self.remedy = remedy
        self.left_out: Sequence[LeftOut] = ()

    def map_texts(self, change: Callable[[str], str]) -> None:
        """Replace each text by what `change` makes of it."""
        self.message, self.field, self.remedy = change(self.message), change(self.field), change(self.remedy)
        self.args = (f"{self.field}: {self.message}; {self.remedy}",)
        self.left_out = [each.map_texts(change) for each in self.left_out]

    def __reduce__(self) -> tuple[Any, ...]:
        # It travels between processes, and its text is not made of its arguments alone.
        return _same_error, (type(self), self.args, self.__dict__)


def _same_error(kind: type[ToolSourceError], args: tuple[Any, ...], fields: dict[str, Any]) -> ToolSourceError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class DocumentError(ToolSourceError):
    """The document cannot be used. `field` is a JSON pointer into it (`#` is the root)."""


class SourceUnreachableError(ToolSourceError):
    """The document could not be fetched."""


class SourceExistsError(ToolSourceError):
    """The source has the name of one that is registered."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"a source {name!r} is registered", field="name", remedy="remove it first, or choose another name"
        )


class SourceLimitError(ToolSourceError):
    """The owner has as many sources, or tools, as allowed."""


class UnknownSourceError(ToolSourceError):
    """No source has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"there is no tool source {name!r}",
            field="name",
            remedy=_did_you_mean(_similar([name], list(known)), known, what="source"),
        )


class SourcesLoading(ToolsError):
    """Sources of these names are still being loaded, and may have the tools."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"tool sources are still being loaded: {_quoted(names)}")


class ToolGone(ToolsError):
    """A tool that was chosen is not registered any more, or as another one; nothing was sent. The text has no name."""

    def __init__(self, reason: str = "is gone: its source no longer offers it") -> None:
        super().__init__(reason)


class UnknownToolError(ToolsError):
    """No single tools have these names. `suggestions` are registered names to use instead, best first.

    `shared` has the long names of the tools for each name that several sources have.
    """

    def __init__(
        self, names: Sequence[str], known: Iterable[str], shared: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        known = list(known)
        self.names = list(names)
        long_names = [name for meant in (shared or {}).values() for name in meant]
        # Comparing a name with thousands of others takes tens of milliseconds.
        self.suggestions = long_names or _similar(names[:MAX_COMPARED], known)
        self.remedy = _did_you_mean(self.suggestions, known, what="tool")
        self._shared = {name for name, meant in (shared or {}).items() if meant}
        several = [name for name in names if name in self._shared]
        none = [name for name in names if name not in self._shared]
        reasons = [f"no tool is registered as {_quoted(none)}"] if none else []
        reasons += [f"several sources have a tool {_quoted(several)}"] if several else []
        super().__init__(f"{' and '.join(reasons)}; {self.remedy}")

    def reason_for(self, name: str) -> str:
        """Why one of `names` stands for no tool."""
        if name in self._shared:
            return f"several sources have a tool {name!r}"
        return f"no tool is registered as {name!r}"


ALL_ARGUMENTS: Final = "(all)"


class ArgumentError(ToolsError):
    """An argument cannot be sent. `argument` is its name in the tool's schema, or `ALL_ARGUMENTS`."""

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(f"{'the call' if argument == ALL_ARGUMENTS else f'argument {argument!r}'} {reason}")
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


# Names for which similar ones are looked up.
MAX_COMPARED = 3
MAX_LISTED = 20


def _similar(names: Iterable[str], known: Sequence[str]) -> list[str]:
    similar = [match for name in names for match in difflib.get_close_matches(name, known, n=3)]
    return list(dict.fromkeys(similar))


def _did_you_mean(suggestions: Sequence[str], known: Iterable[str], *, what: str) -> str:
    if suggestions:
        return "did you mean " + " or ".join(repr(name) for name in suggestions[:MAX_LISTED]) + "?"
    candidates = sorted(known)
    if not candidates:
        return f"no {what} is registered at all; register a source first"
    more = f" and {len(candidates) - MAX_LISTED} more" if len(candidates) > MAX_LISTED else ""
    return f"registered are {', '.join(candidates[:MAX_LISTED])}{more}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:MAX_LISTED])
