"""Failures of an OpenAI-compatible server as engine errors, without its key.

A server that cannot be reached, is overloaded or fails may recover: `EngineUnavailable`. One that refuses a request, or
does not follow the API, will do so again: `EngineRefused`, and `PromptTooLong` where a shorter prompt helps.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from http import HTTPStatus

import httpx
from httpx_sse import SSEError
from pydantic import BaseModel, SecretStr, ValidationError

from alpha_umi.contract.validation import explain
from alpha_umi.serving.engine import EngineError, EngineRefused, EngineUnavailable, PromptTooLong

_KEY_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_PASSING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_ADDRESS_SETTINGS = "ALPHA_UMI_ROLE_REMOTE_URL, ALPHA_UMI_ROLE_REMOTE_MODEL and ALPHA_UMI_ROLE_REMOTE_API"
_MESSAGE_CHARACTERS = 300
# No status or code of its own is common to servers: vLLM, SGLang, llama.cpp, Ollama and hosted ones differ.
_TOO_LONG = re.compile(
    r"context.?(length|size|window)|(prompt|input)( is)? too long|maximum (prompt|input) length|reduce the length"
    r"|maximum number of tokens",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"(?:context (?:length|size|window)|maximum (?:prompt|input) length)\D{0,20}(\d{3,9})")


class ServerFailed(EngineUnavailable):
    """The server answers 500: a temporary failure, or a request that it cannot process."""


class ErrorDetail(BaseModel):
    """The error object of an OpenAI-compatible server."""

    message: str = ""
    code: int | str | None = None


class _ErrorBody(BaseModel):
    error: ErrorDetail


class Server:
    """An OpenAI-compatible server: its address for messages, its key, its errors."""

    def __init__(self, base: httpx.URL, key: SecretStr | None) -> None:
        self._base = base
        self._key = "" if key is None else key.get_secret_value()
        self.address = str(base.copy_with(query=None)).rstrip("/")

    def client(self, timeout: httpx.Timeout) -> httpx.AsyncClient:
        """An HTTP client of the server. Redirects are not followed: they would send the key elsewhere."""
        return httpx.AsyncClient(
            base_url=self._base,
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=timeout,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=False,
        )

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Translate the errors of httpx and of the wire models into engine errors."""
        try:
            yield
        except (SSEError, ValidationError, UnicodeDecodeError, httpx.DecodingError) as error:
            raise self.malformed(_first_line(error)) from error
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise EngineUnavailable(
                f"the server at {self.address} cannot be reached: {self._redacted(reason)}"
            ) from error

    async def require_success(self, response: httpx.Response) -> None:
        """Raises the engine error of an unsuccessful response."""
        if response.is_success:
            return
        await response.aread()
        raise self.failure(response.status_code, _message(response))

    def failure(self, status: int, message: str) -> EngineError:
        """The engine error of a status and the server's message."""
        if status in _KEY_REFUSED:
            # Without the message: servers quote the key.
            return EngineRefused(
                f"the server at {self.address} refuses the key ({status}); check ALPHA_UMI_ROLE_REMOTE_KEY"
            )
        reason = self._redacted(message)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return ServerFailed(f"the server at {self.address} fails (500): {reason}")
        if status in _PASSING or status > HTTPStatus.INTERNAL_SERVER_ERROR:
            return EngineUnavailable(f"the server at {self.address} cannot answer now ({status}): {reason}")
        refusal = f"the server at {self.address} refuses the request ({status}): {reason}"
        if status == HTTPStatus.NOT_FOUND:
            return EngineRefused(f"{refusal}; check {_ADDRESS_SETTINGS}")
        if _TOO_LONG.search(message):
            limit = _LIMIT.search(message)
            return PromptTooLong(refusal, None if limit is None else int(limit[1]))
        return EngineRefused(refusal)

    def malformed(self, what: str) -> EngineRefused:
        """The engine error of an answer that does not follow the API."""
        return EngineRefused(
            f"the server at {self.address} answers no completions in OpenAI's format: {self._redacted(what)}; "
            "check ALPHA_UMI_ROLE_REMOTE_URL"
        )

    def _redacted(self, text: str) -> str:
        without_key = text.replace(self._key, "***") if self._key else text
        return " ".join(without_key.split())[:_MESSAGE_CHARACTERS]


def _message(response: httpx.Response) -> str:
    try:
        return _ErrorBody.model_validate_json(response.content).error.message
    except ValidationError:
        return response.text


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return explain(error)
    return str(error)
