"""A judge behind the chat completions protocol of OpenAI, which most servers of language models speak.

ServiceAway     it stayed away for longer than it was waited for
JudgeRefused    it does not take requests of this kind, or not with this key
TooLong         this one request is longer than its context
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import httpx
from pydantic import BaseModel, Field, ValidationError

from evaluation.errors import EvaluationError, ServiceAway
from evaluation.orchestrator import AT_ONCE
from evaluation.patience import AWAY_STATUS, Away, Patience, patiently, retry_after_of

MAX_SHOWN: Final = 300
_OVERLOADED: Final = (*AWAY_STATUS, HTTPStatus.INTERNAL_SERVER_ERROR)
_KEY_STATUS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class JudgeRefused(EvaluationError):
    """The judge does not take requests of this kind; asking on is no use."""


class TooLong(Exception):
    """A request is longer than the judge's context."""


class Called(BaseModel):
    """A function that the judge calls."""

    arguments: str = ""


class ToolCall(BaseModel):
    """A call of a function."""

    function: Called


class Message(BaseModel):
    """What the judge says: a call, or words."""

    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(BaseModel):
    """One of its answers."""

    message: Message


class Usage(BaseModel):
    """Tokens, where it tells them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(BaseModel):
    """`POST /chat/completions`."""

    choices: list[Choice] = Field(min_length=1)
    usage: Usage | None = None

    @property
    def text(self) -> str:
        """The arguments of its call, else its words."""
        message = self.choices[0].message
        return message.tool_calls[0].function.arguments if message.tool_calls else message.content or ""


@dataclass(frozen=True)
class JudgeAddress:
    """Where a judge is (`http://HOST/v1`), and the name that its model has there."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout_s: float = 120.0

    @property
    def shown(self) -> str:
        """The address without the password that it may hold."""
        return str(httpx.URL(self.url).copy_with(userinfo=b"", query=None))


class Judge:
    """A judge. One for a run, closed at its end."""

    def __init__(self, address: JudgeAddress, patience: Patience, *, trust_env: bool = False) -> None:
        self._address = address
        self._patience = patience
        headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
        self._http = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(address.timeout_s, connect=5.0, pool=None), trust_env=trust_env
        )

    async def __aenter__(self) -> Judge:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ready(self) -> None:
        """Raises `ServiceAway` if it is not there now, `JudgeRefused` if it wants another key."""
        response = await self._send("GET", "/models", AT_ONCE)
        # Some have no list of models; what they do not take is seen at the first question.
        if response.status_code in _KEY_STATUS:
            raise self._other_key()

    async def ask(
        self, prompt: str, function: dict[str, Any] | None, *, temperature: float, max_tokens: int | None
    ) -> Completion:
        """What it says. Raises `ServiceAway`, `JudgeRefused`, `TooLong`."""
        request: dict[str, Any] = {
            "model": self._address.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": temperature,
        }
        if max_tokens is not None:
            request["max_tokens"] = max_tokens
        if function is not None:
            choice = {"type": "function", "function": {"name": function["name"]}}
            request |= {"tools": [{"type": "function", "function": function}], "tool_choice": choice}
        return self._completion(await self._send("POST", "/chat/completions", self._patience, request))

    def _completion(self, response: httpx.Response) -> Completion:
        if response.is_success:
            try:
                return Completion.model_validate_json(response.content)
            except ValidationError as error:
                raise self._refused("its answer is no chat completion") from error
        if response.status_code in _KEY_STATUS:
            raise self._other_key()
        said = _reason(response)
        if _is_too_long(response.status_code, said):
            raise TooLong(self._without_key(said))
        raise self._refused(f"status {response.status_code}: {self._without_key(said)}")

    async def _send(self, method: str, path: str, patience: Patience, body: Any = None) -> httpx.Response:
        url = self._address.url.rstrip("/") + path

        async def attempt(_: int) -> httpx.Response | Away:
            try:
                response = await self._http.request(method, url, json=body)
            except httpx.HTTPError as error:
                return Away(str(error) or type(error).__name__)
            if response.status_code in _OVERLOADED:
                return Away(f"status {response.status_code}", retry_after_of(response))
            return response

        return await patiently(attempt, patience, self._stayed_away)

    def _without_key(self, text: str) -> str:
        """Some repeat the key that they were sent."""
        return text.replace(self._address.key, "[key]") if self._address.key else text

    def _refused(self, reason: str) -> JudgeRefused:
        return JudgeRefused(
            f"the judge at {self._address.shown} does not take a question: {reason}",
            remedy="see that --judge-url ends where /chat/completions begins, and that --judge-model is known there",
        )

    def _other_key(self) -> JudgeRefused:
        return JudgeRefused(
            f"the judge at {self._address.shown} wants another key",
            remedy="name its key with ALPHA_UMI_JUDGE_KEY or --judge-key-file",
        )

    def _stayed_away(self, reason: str) -> ServiceAway:
        return ServiceAway(
            f"the judge at {self._address.shown} is away: {self._without_key(reason)}",
            remedy="start it, or name its address with --judge-url",
        )


def _is_too_long(status: int, said: str) -> bool:
    """There is no status, and no code, that all servers have for it."""
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return True
    of_request = status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
    return of_request and any(words in said.lower() for words in ("context", "too long"))


def _reason(response: httpx.Response) -> str:
    """What an error document says, in any of its usual forms."""
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        return "no reason is given"
    for key in ("error", "message", "detail"):
        value = value.get(key, value) if isinstance(value, dict) else value
    return (value if isinstance(value, str) else json.dumps(value))[:MAX_SHOWN]
