"""A client of a judge: requests to the chat completions API, and the fields of its responses that are used."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Final

import httpx
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from alpha_umi.client.errors import Unavailable
from alpha_umi.client.http import read_bounded
from alpha_umi.client.retry import NO_RETRY, RETRYABLE_STATUS, Failure, RetryPolicy, retry, retry_after_of
from alpha_umi.redaction import Redactor
from evaluation.errors import EvaluationError

# More tokens than any answer can have; larger counts are ignored.
MOST_TOKENS: Final = 2**53


def _as_text(arguments: Any) -> str:
    """Some servers send the arguments of a call as an object, not as JSON text."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _usable(output: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Token counts are informational: an invalid count does not invalidate the answer."""
    try:
        return read(output)
    except ValidationError:
        return None


Tokens = Annotated[int, BeforeValidator(lambda output: 0 if output is None else output), Field(ge=0, le=MOST_TOKENS)]


class Called(BaseModel):
    """A called function; `arguments` is JSON text."""

    arguments: Annotated[str, BeforeValidator(_as_text)] = ""


class ToolCall(BaseModel):
    """A call of a function."""

    function: Called


class Message(BaseModel):
    """The message of an answer: a call, or text."""

    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(BaseModel):
    """A choice of a completion."""

    message: Message


class Usage(BaseModel):
    """Token usage, if reported."""

    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0


class Completion(BaseModel):
    """`POST /chat/completions`. An invalid `usage` is ignored."""

    choices: list[Choice] = Field(min_length=1)
    usage: Annotated[Usage | None, WrapValidator(_usable)] = None

    @property
    def text(self) -> str:
        """The arguments of the call, else the text."""
        message = self.choices[0].message
        return message.tool_calls[0].function.arguments if message.tool_calls else message.content or ""


# An answer that could not be parsed.
NOTHING: Final = Completion(choices=[Choice(message=Message())])


def read_completion(body: bytes) -> Completion | None:
    """Parse a response body; None if it is not a chat completion, or not valid UTF-8."""
    try:
        return Completion.model_validate_json(body)
    except ValidationError:
        return None


MAX_SHOWN: Final = 300
MAX_ANSWER_BYTES: Final = 4 * 2**20
_OVERLOADED: Final = (*RETRYABLE_STATUS, HTTPStatus.INTERNAL_SERVER_ERROR)
_KEY_STATUS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class JudgeRefused(EvaluationError):
    """The judge refuses requests of this kind; a retry does not help."""


class TooLong(Exception):
    """A request is longer than the judge's context."""


@dataclass(frozen=True)
class JudgeAddress:
    """The base address of a judge (`http://HOST/v1`), its model's name, its key, and the timeout."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout_s: float = 120.0

    @property
    def shown(self) -> str:
        """The address without a password."""
        return str(httpx.URL(self.url).copy_with(userinfo=b"", query=None))

    def at(self, path: str) -> httpx.URL:
        """The address of a path below the base address; its query is retained."""
        url = httpx.URL(self.url)
        folder, mark, query = url.raw_path.partition(b"?")
        return url.copy_with(raw_path=folder.rstrip(b"/") + path.encode() + mark + query)


@dataclass(frozen=True)
class Answered:
    """A response. `body` is empty if it was too long."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the request succeeded."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


class Judge:
    """The client of a judge, for one run. `known`: it has answered before.

    An unreadable response before the first valid one raises `JudgeRefused`; a later one is an answer that could not be
    parsed.
    """

    def __init__(self, address: JudgeAddress, policy: RetryPolicy, *, trust_env: bool = False) -> None:
        self._address = address
        self._policy = policy
        self.known = False
        headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
        self._http = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(address.timeout_s, connect=5.0, pool=None), trust_env=trust_env
        )

    async def __aenter__(self) -> Judge:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def ready(self) -> None:
        """Check the judge. Raises `Unavailable` if it cannot be reached, `JudgeRefused` if it refuses the key."""
        response = await self._send("GET", "/models", NO_RETRY)
        # Some servers have no list of models; then the first question shows whether the model exists.
        if response.status in _KEY_STATUS:
            raise self._other_key()

    async def ask(
        self, prompt: str, function: dict[str, Any] | None, *, temperature: float, max_tokens: int | None
    ) -> Completion:
        """Request an answer. Raises `Unavailable`, `JudgeRefused`, `TooLong`."""
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
        return self._completion(await self._send("POST", "/chat/completions", self._policy, request))

    def _completion(self, response: Answered) -> Completion:
        if response.is_success:
            return self._read(response.body)
        if response.status in _KEY_STATUS:
            raise self._other_key()
        reason = _reason(response.body, self._address.key)
        if _is_too_long(response.status, reason):
            raise TooLong(reason[:MAX_SHOWN])
        raise self._refused(f"status {response.status}: {reason[:MAX_SHOWN]}")

    def _read(self, body: bytes) -> Completion:
        completion = read_completion(body)
        if completion is None and not self.known:
            raise self._refused("its answer is not a chat completion")
        self.known = True
        return completion or NOTHING

    async def _send(self, method: str, path: str, policy: RetryPolicy, body: Any = None) -> Answered:
        url = self._address.at(path)

        async def attempt(_: int) -> Answered | Failure:
            try:
                async with self._http.stream(method, url, json=body) as response:
                    if response.status_code in _OVERLOADED:
                        return Failure(f"status {response.status_code}", retry_after_of(response))
                    return Answered(response.status_code, await read_bounded(response, MAX_ANSWER_BYTES))
            except httpx.HTTPError as error:
                return Failure(str(error) or type(error).__name__)

        return await retry(attempt, policy, self._unavailable)

    def _refused(self, reason: str) -> JudgeRefused:
        return JudgeRefused(
            f"the judge at {self._address.shown} refuses a question: {reason}",
            remedy="give --judge-url without /chat/completions, and a --judge-model that the server has",
        )

    def _other_key(self) -> JudgeRefused:
        return JudgeRefused(
            f"the judge at {self._address.shown} refuses the key",
            remedy="name its key with ALPHA_UMI_JUDGE_KEY or --judge-key-file",
        )

    def _unavailable(self, failure: Failure) -> Unavailable:
        reason = Redactor.of_key(self._address.key).redact(failure.reason)
        return Unavailable(
            f"the judge at {self._address.shown} is unavailable: {reason}",
            remedy="start it, or name its address with --judge-url",
        )


def _is_too_long(status: int, reason: str) -> bool:
    """Servers share no status and no error code for it."""
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return True
    of_request = status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
    return of_request and any(words in reason.lower() for words in ("context", "too long"))


def _reason(body: bytes, key: str) -> str:
    """The message of an error document in its usual forms, without the key, which some servers repeat."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "no reason is given"
    for name in ("error", "message", "detail"):
        value = value.get(name, value) if isinstance(value, dict) else value
    redactor = Redactor.of_key(key)
    reason = redactor.redact(value) if isinstance(value, str) else redactor.redact_strings(json.dumps(value))
    # A lone surrogate cannot be written to a file.
    return reason.encode(errors="replace").decode()
