"""What a judge answers, in the form of OpenAI's chat completions, as far as it is read here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Final

import httpx
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from alpha_umi.client.errors import Unavailable
from alpha_umi.client.http import read_bounded
from alpha_umi.client.redact import redact, redact_json
from alpha_umi.client.retry import NO_RETRY, RETRYABLE_STATUS, Failure, RetryPolicy, retry, retry_after_of
from evaluation.errors import EvaluationError

# More than any answer costs; a larger count is none.
MOST_TOKENS: Final = 2**53


def _as_text(arguments: Any) -> str:
    """Some servers give the arguments of a call as the object that they are."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _usable(output: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Tokens are only counted: an answer is no worse for telling them wrongly."""
    try:
        return read(output)
    except ValidationError:
        return None


Tokens = Annotated[int, BeforeValidator(lambda output: 0 if output is None else output), Field(ge=0, le=MOST_TOKENS)]


class Called(BaseModel):
    """A function that the judge calls; `arguments` is JSON."""

    arguments: Annotated[str, BeforeValidator(_as_text)] = ""


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

    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0


class Completion(BaseModel):
    """`POST /chat/completions`. A `usage` that means nothing is none."""

    choices: list[Choice] = Field(min_length=1)
    usage: Annotated[Usage | None, WrapValidator(_usable)] = None

    @property
    def text(self) -> str:
        """The arguments of its call, else its words."""
        message = self.choices[0].message
        return message.tool_calls[0].function.arguments if message.tool_calls else message.content or ""


# An answer in which nothing could be read.
NOTHING: Final = Completion(choices=[Choice(message=Message())])


def read_completion(body: bytes) -> Completion | None:
    """The answer in a body; None where it is no chat completion, or holds text that is none in UTF-8."""
    try:
        return Completion.model_validate_json(body)
    except ValidationError:
        return None


MAX_SHOWN: Final = 300
MAX_ANSWER_BYTES: Final = 4 * 2**20
_OVERLOADED: Final = (*RETRYABLE_STATUS, HTTPStatus.INTERNAL_SERVER_ERROR)
_KEY_STATUS: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class JudgeRefused(EvaluationError):
    """The judge does not take requests of this kind; asking on is no use."""


class TooLong(Exception):
    """A request is longer than the judge's context."""


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

    def at(self, path: str) -> httpx.URL:
        """The address of a path below it, with its query."""
        url = httpx.URL(self.url)
        folder, mark, query = url.raw_path.partition(b"?")
        return url.copy_with(raw_path=folder.rstrip(b"/") + path.encode() + mark + query)


@dataclass(frozen=True)
class Answered:
    """What came back. `body` is empty where it was too long."""

    status: int
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the judge answered."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


class Judge:
    """A judge. One for a run, closed at its end.

    `known`: it has answered before. What it says later and cannot be read is an answer that means nothing; until then
    it is no judge.
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
        """Raises `Unavailable` if it cannot be reached, `JudgeRefused` if it wants another key."""
        response = await self._send("GET", "/models", NO_RETRY)
        # Some have no list of models; what they do not take is seen at the first question.
        if response.status in _KEY_STATUS:
            raise self._other_key()

    async def ask(
        self, prompt: str, function: dict[str, Any] | None, *, temperature: float, max_tokens: int | None
    ) -> Completion:
        """What it says. Raises `Unavailable`, `JudgeRefused`, `TooLong`."""
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
            raise self._refused("its answer is no chat completion")
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
            f"the judge at {self._address.shown} does not take a question: {reason}",
            remedy="see that --judge-url ends where /chat/completions begins, and that --judge-model is known there",
        )

    def _other_key(self) -> JudgeRefused:
        return JudgeRefused(
            f"the judge at {self._address.shown} wants another key",
            remedy="name its key with ALPHA_UMI_JUDGE_KEY or --judge-key-file",
        )

    def _unavailable(self, failure: Failure) -> Unavailable:
        return Unavailable(
            f"the judge at {self._address.shown} is unavailable: {redact(failure.reason, self._address.key)}",
            remedy="start it, or name its address with --judge-url",
        )


def _is_too_long(status: int, reason: str) -> bool:
    """There is no status, and no code, that all servers have for it."""
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return True
    of_request = status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
    return of_request and any(words in reason.lower() for words in ("context", "too long"))


def _reason(body: bytes, key: str) -> str:
    """What an error document says, in any of its usual forms, without the key, which some repeat."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "no reason is given"
    for name in ("error", "message", "detail"):
        value = value.get(name, value) if isinstance(value, dict) else value
    reason = redact(value, key) if isinstance(value, str) else redact_json(json.dumps(value), key)
    # Half of a pair of surrogates can be in no file.
    return reason.encode(errors="replace").decode()
