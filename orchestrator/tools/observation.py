"""Converts the answer of an HTTP call into the text that the planner reads.

A status of success makes an observation of whatever text came: JSON is written compactly, all other text stays as it
is, and of other content the type and size are shown. Only two such answers are errors: broken JSON, and an HTML page
where the document declares something else, because that is the page of a proxy or a login. Every other status is an
error. Answers are untrusted data: no code may act on their content. How long an observation may be is left out; see
`shorten`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from typing import Final

from alpha_umi.redaction import Redactor
from orchestrator.tools.egress import Answer
from orchestrator.tools.json_text import NOT_READ, closed_json, compact_json
from orchestrator.tools.model import ToolResult
from orchestrator.tools.openapi.operation import Operation
from orchestrator.tools.shorten import storable

# Codecs whose time is proportional to the text.
_CHARSET: Final = re.compile(
    r"utf-?(8|16(-?[lb]e)?|32(-?[lb]e)?)|(us-)?ascii|(iso-?8859-|windows-|cp)\d+|latin-?1|koi8-[ru]"
    r"|big5|gbk|gb2312|gb18030|euc-(jp|kr)|shift_jis"
)
_XML_ENCODING: Final = re.compile(rb"""<\?xml[^>]{1,100}encoding=["']([A-Za-z0-9._-]{1,40})["']""")
_TEXT_TYPE: Final = re.compile(
    r"text/.*|.*[/+](json|xml|yaml|csv)|application/(x-)?(ndjson|jsonl|jsonlines|json-seq|javascript|sql|toml|graphql)"
    r"|application/(x-yaml|x-www-form-urlencoded)"
)
_JSON_TYPE: Final = re.compile(r".*[/+]json")
_HTML_TYPE: Final = re.compile(r"text/html|application/xhtml\+xml")
_HTML_PAGE: Final = re.compile(r"\s*<(!doctype html|html)\b", re.IGNORECASE)
_CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def observe(answer: Answer, operation: Operation, redactor: Redactor) -> ToolResult:
    """The observation of an answer, without the secrets of its source.

    `truncated`: the answer was longer, which a mark at the end says.
    """
    clear = _text(answer)
    text = None if clear is None else _redacted(clear, redactor, truncated=answer.truncated)
    read = closed_json if answer.truncated else compact_json
    compact = None if text is None else read(text)
    shown = storable(((text if compact is None else compact) or "").strip())
    if answer.truncated and compact is None and shown:
        shown += f"\n{NOT_READ}"
    if text is None:
        shown = f"({answer.media_type or 'content of no type'}, {len(answer.body):,} bytes, not shown)"
    # Without a number that was a secret, JSON is none.
    is_json = compact is not None or (clear is not None and clear != text and read(clear) is not None)
    problem = _problem(answer, operation, None if is_json else text)
    if problem is not None:
        return ToolResult(f"{problem}: {shown}" if shown else f"{problem}.", is_error=True, truncated=answer.truncated)
    return ToolResult(shown or f"(HTTP {answer.status}, no content)", is_error=False, truncated=answer.truncated)


def _redacted(text: str, redactor: Redactor, *, truncated: bool) -> str:
    text = redactor.redact(text)
    # The end may be the beginning of a secret.
    return text[: -redactor.longest] if truncated and redactor.longest else text


def failure(reason: str) -> ToolResult:
    """The observation of a call without an answer."""
    return ToolResult(storable(reason), is_error=True, truncated=False)


def _problem(answer: Answer, operation: Operation, text: str | None) -> str | None:
    """The reason why the answer is an error, or None. `text` is None for JSON and for what is no text."""
    if 300 <= answer.status < 400:
        return f"HTTP {answer.status}: the tool answered with a redirect, which is not followed"
    if not 200 <= answer.status < 300:
        return f"HTTP {answer.status} from the tool"
    if not text:
        return None
    if _is_page(answer.media_type, text) and not _declares_html(operation.answers):
        return f"HTTP {answer.status}: the tool answered with an HTML page, which its document does not declare"
    if _JSON_TYPE.fullmatch(answer.media_type) and not all(map(compact_json, filter(str.strip, text.split("\n")))):
        return f"HTTP {answer.status}: the tool's answer is labelled {answer.media_type} and is not JSON"
    return None


def _is_page(media_type: str, text: str) -> bool:
    return bool(_HTML_PAGE.match(text) or (_HTML_TYPE.fullmatch(media_type) and text.lstrip().startswith("<")))


def _declares_html(answers: Sequence[str]) -> bool:
    """Whether the declared media types include HTML, or there are none."""
    return not answers or any(each in ("*/*", "text/*") or _HTML_TYPE.fullmatch(each) for each in answers)


def _text(answer: Answer) -> str | None:
    """The body as text; None if it is not text. The page of a redirect is not read."""
    if 300 <= answer.status < 400:
        return ""
    is_text = _TEXT_TYPE.fullmatch(answer.media_type) is not None
    encoding = _encoding(answer, is_text=is_text)
    try:
        # A body that was cut may end inside a character.
        text = codecs.getincrementaldecoder(encoding)().decode(answer.body, final=not answer.truncated)
    except UnicodeDecodeError:
        guess = "windows-1252" if answer.charset is None and answer.media_type.startswith("text/") else encoding
        text = answer.body.decode(guess, "replace") if is_text else "\x00"
    return text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}") if is_text or not _CONTROL.search(text) else None


def _encoding(answer: Answer, *, is_text: bool) -> str:
    """The encoding by the header, the XML declaration or the first bytes; UTF-8 if that is none that may be used."""
    declared = _XML_ENCODING.match(answer.body)
    name = answer.charset or (declared[1].decode() if declared else "")
    if not name and (is_text or answer.body[:2] in (b"\xff\xfe", b"\xfe\xff")):
        return json.detect_encoding(answer.body)
    try:
        return codecs.lookup(name).name if _CHARSET.fullmatch(name.lower()) else "utf-8"
    except LookupError:
        return "utf-8"
