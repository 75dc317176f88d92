"""An answer, or the lack of one, becomes the text that the planner reads.

Success is JSON, written compactly; text counts as success only where the document announces text. Everything else
is an error that names the status and shows a bounded piece of the body. Answers are data: nothing here, and nothing
that follows, may act on what they say.
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
    """What the planner is told of an answer; `content` has at most `max_bytes` bytes of UTF-8."""
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
    """What the planner is told of a call that got no answer."""
    content, cut = bounded(reason, max_bytes)
    return ToolResult(content, is_error=True, truncated=cut)


def bounded(text: str, max_bytes: int) -> tuple[str, bool]:
    """The text within so many bytes of UTF-8, whether it was cut; a cut falls between characters and is marked."""
    # Lone surrogates and NUL come out of valid JSON, and neither can be stored.
    raw = text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace")
    if len(raw) <= max_bytes:
        return raw.decode(), False
    mark = f" [cut: {len(raw)} bytes in all]"
    start = raw[: max(0, max_bytes - len(mark))].decode("utf-8", "ignore")
    return (start + mark)[:max_bytes], True


def _problem(answer: Answer, operation: Operation, *, is_json: bool) -> str | None:
    """What is wrong with the answer, or None."""
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}: the tool answered with a redirect, which is not followed"
    if not 200 <= answer.status < 300:
        return f"HTTP {answer.status} from the tool"
    if answer.truncated:
        return f"The tool's answer is too large; its first {len(answer.body)} bytes were read"
    if is_json or operation.text_answers:
        return None
    return f"HTTP {answer.status}: the tool's answer is {answer.media_type or 'of no type'} and not JSON"


def _text(answer: Answer) -> str:
    if 300 <= answer.status < 400:
        return ""
    charset = (answer.charset or "utf-8").lower()
    decoded = answer.body.decode(charset if charset in _TEXT_CHARSETS else "utf-8", "replace")
    return decoded.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")


def _compact_json(text: str) -> str | None:
    """JSON without white space between its parts; None for anything else, infinities included."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
