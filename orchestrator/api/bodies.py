"""How bodies of requests are read: within bounds, and without holding up other requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ClassVar, Final

from fastapi import HTTPException, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from orchestrator.tools.openapi.provider import packed_document
from orchestrator.tools.packed import PackedText, Packer
from orchestrator.workers import LimitExceeded, run_limited

# Of a body that registers no source.
MAX_BODY_BYTES: Final = 6 * 2**20
MAX_VALUES: Final = 50_000
# Members and items outside of schemas and of arguments: each can be a fault, and a fault takes a kilobyte.
MAX_FIELDS: Final = 20_000
# Smaller ones take a millisecond.
_LARGE_BYTES: Final = 64 * 1024
# A text without its end matches, too, so that no text is read twice. No step is kept to go back to (`*+`): of a text of
# escapes they would take a hundred times its size.
_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


class _BoundedRequest(Request):
    is_read_again: ClassVar = False
    _unread = b""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            chunks, size = [], 0
            async for chunk in self.stream():
                size += len(chunk)
                # A body that is too large is read to its end: a client that still writes would not read the answer.
                if size <= MAX_BODY_BYTES:
                    chunks.append(chunk)
            if size > MAX_BODY_BYTES:
                raise HTTPException(413, f"a body may have {MAX_BODY_BYTES} bytes at most here")
            self._unread = b"".join(chunks)
            # FastAPI holds this until the request is answered, and only needs to know whether it is empty.
            self._body = self._unread if self.is_read_again else self._unread[:1]
        return self._body

    async def json(self) -> Any:
        await self.body()
        unread, self._unread = self._unread, b""
        return await read_json(unread)


class _RereadRequest(_BoundedRequest):
    is_read_again = True


class _SourceRequest(Request):
    _unread: PackedText

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            packer = Packer()
            async for chunk in self.stream():
                packer.add(chunk)
            self._unread = packer.end()
            # FastAPI holds this until the request is answered, and only needs to know whether it is empty.
            self._body = b" " * min(1, self._unread.size)
        return self._body

    async def json(self) -> Any:
        await self.body()
        body = self._unread
        if body.size < _LARGE_BYTES:
            return json.loads(body.raw())
        try:
            (value,) = await run_limited(_source_json, body)
        except LimitExceeded as error:
            raise HTTPException(413, f"reading the body failed: {error}") from error
        return value


class BoundedBodyRoute(APIRoute):
    """Refuses bodies that are large or hold many values."""

    request_class: ClassVar[type[Request]] = _BoundedRequest

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            return await handle(self.request_class(request.scope, request.receive))

        return handler


class RereadBodyRoute(BoundedBodyRoute):
    """Lets its functions read the bytes of the body, too."""

    request_class = _RereadRequest


class SourceBodyRoute(BoundedBodyRoute):
    """Takes bodies with a document, which stays packed: it is read in a process of its own."""

    request_class = _SourceRequest


async def read_json(body: bytes) -> Any:
    """The value of a body. Raises `HTTPException` for one with too many values, and the errors of `json.loads`."""
    if len(body) < _LARGE_BYTES:
        return json.loads(body)
    return await asyncio.to_thread(_bounded_json, body)


def _bounded_json(body: bytes) -> Any:
    if count_values(body) > MAX_VALUES:
        raise HTTPException(413, f"a body may hold {MAX_VALUES} values at most here")
    # The hook is Python code: while it is called, other threads get their turn.
    value = json.loads(body, object_hook=_same)
    # Arguments are free.
    checked = {**value, "arguments": None} if isinstance(value, dict) else value
    if _fields(checked) > MAX_FIELDS:
        raise HTTPException(413, f"a body may hold {MAX_FIELDS} fields at most")
    return value


def _fields(body: Any) -> int:
    """The members and items on the three levels that have fields."""
    number, level = 0, [body]
    for _ in range(3):
        nodes = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        number += sum(map(len, nodes))
        level = [value for node in nodes for value in node]
    return number


def count_values(text: bytes) -> int:
    """The values of JSON text. No more than an upper bound where it has at most `MAX_VALUES`, as most texts have."""
    bound = _values(text)
    return bound if bound <= MAX_VALUES else _values(_TEXT.sub(b"", text))


def _values(text: bytes) -> int:
    return sum(map(text.count, (b"{", b"[", b",")))


def _same(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _source_json(body: PackedText) -> Generator[Any, None, None]:
    try:
        value = json.loads(body.raw())
    except json.JSONDecodeError as error:
        # Without the body, which need not travel back.
        raise json.JSONDecodeError(error.msg, "", error.pos) from None
    except UnicodeDecodeError:
        raise ValueError("the body is not Unicode") from None
    if isinstance(value, dict) and isinstance(document := value.get("document"), dict | str):
        value["document"] = packed_document(document)
    if _fields(value) > MAX_FIELDS:
        raise LimitExceeded(f"it holds more than {MAX_FIELDS} fields")
    yield value
