"""Converts the outcome of a call into the observation that the planner reads.

A success is JSON, written compactly; text is a success only where the document declares text. Everything else is an
error with the status and a bounded piece of the body. Answers are untrusted data: no code may act on their content.
"""

from __future__ import annotations

import json
from typing import Final, NoReturn

from orchestrator.tools.egress import Answer
from orchestrator.tools.model import ToolResult
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.openapi.security import Credentials

MAX_OBSERVATION_BYTES: Final = 16 * 1024
MAX_ERROR_BODY_BYTES: Final = 2 * 1024
_TEXT_CHARSETS = frozenset({"utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16"})


def observe(
    answer: Answer, operation: Operation, credentials: Credentials, *, max_bytes: int = MAX_OBSERVATION_BYTES
) -> ToolResult:
    """The observation of an answer; `content` has at most `max_bytes` bytes of UTF-8."""
    text = credentials.redact(_text(answer))
    compact = None if answer.truncated else _compact_json(text)
    answer_text = text.strip() if compact is None else compact
    problem = _problem(answer, operation, is_json=compact is not None or not answer_text)
    if problem is None:
        content, cut = bounded(answer_text or f"(HTTP {answer.status}, no content)", max_bytes)
        return ToolResult(content, is_error=False, truncated=cut)
    piece, cut = bounded(answer_text, min(MAX_ERROR_BODY_BYTES, max_bytes))
    content, cut_again = bounded(f"{problem}: {piece}" if piece else f"{problem}.", max_bytes)
    return ToolResult(content, is_error=True, truncated=answer.truncated or cut or cut_again)


def failure(reason: str, *, max_bytes: int = MAX_OBSERVATION_BYTES) -> ToolResult:
    """The observation of a call without an answer."""
    content, cut = bounded(reason, max_bytes)
    return ToolResult(content, is_error=True, truncated=cut)


def bounded(text: str, max_bytes: int) -> tuple[str, bool]:
    """The text in at most `max_bytes` bytes of UTF-8, and whether it was cut; a cut falls between characters."""
    # Valid JSON can contain lone surrogates and NUL; neither can be stored.
    raw = text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")
    if len(raw) <= max_bytes:
        return raw.decode(), False
    mark = f" [cut: {len(raw)} bytes in all]"
    start = raw[: max(0, max_bytes - len(mark))].decode("utf-8", "ignore")
    return (start + mark)[:max_bytes], True


def _problem(answer: Answer, operation: Operation, *, is_json: bool) -> str | None:
    """The reason why the answer is an error, or None."""
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}: the tool answered with a redirect, which is not followed"
    if not 200 <= answer.status < 300:
        return f"HTTP {answer.status} from the tool"
    if answer.truncated:
        return f"The tool's answer is too large; its first {len(answer.body)} bytes were read"
    if is_json or any(name.startswith("text/") for name in operation.answers):
        return None
    return f"HTTP {answer.status}: the tool's answer is {answer.media_type or 'of no type'} and not JSON"


def _text(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return ""
    charset = (answer.charset or "utf-8").lower()
    decoded = answer.body.decode(charset if charset in _TEXT_CHARSETS else "utf-8", "replace")
    return decoded.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")


def _compact_json(text: str) -> str | None:
    """The text as compact JSON; None if it is not JSON, infinities included."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
