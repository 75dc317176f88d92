"""The REST API of the role services: which model plays a role, and what it writes for a request.

A service that is unavailable is asked again with exponential backoff; a role changes nothing, so that repeating a
request is safe. Several base addresses of a role are its replicas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Generic, Self, TypeVar
from zlib import crc32

import httpx
from pydantic import BaseModel, ValidationError

from alpha_umi.client.errors import INVALID_RESPONSE, RoleRequestFailed, ServiceMismatch, TokenRefused, Unavailable
from alpha_umi.client.http import problem_of, public_url, reason_of
from alpha_umi.client.retry import NO_RETRY, RETRYABLE_STATUS, Failure, RetryPolicy, retry
from alpha_umi.contract.problems import UNUSABLE_OUTPUT
from alpha_umi.contract.roles import ModelInfo, ModelList, RoleAnswer, RoleSpec, Sampling, Timings, UsageModel
from alpha_umi.contract.validation import explain
from alpha_umi.roles.turns import Role

ANSWER_TIMEOUT_S: Final = 600.0
CONNECT_TIMEOUT_S: Final = 5.0
_KEEP_ALIVE_S: Final = 2.0

Answer = TypeVar("Answer", bound=RoleAnswer)
Body = TypeVar("Body", bound=BaseModel)
Request = TypeVar("Request", bound=Sampling)


@dataclass(frozen=True)
class RoleResponse(Generic[Answer]):
    """The answer of a role, or (None) the `text` that its service could not use; usage and times of either.

    `prompt_sha256` is the digest of the first prompt of the request.
    """

    answer: Answer | None
    text: str
    usage: UsageModel
    timings: Timings
    truncated: bool
    prompt_sha256: str


class _UnusableOutput(BaseModel):
    """The extra fields of the problem document of an output that could not be used."""

    text: str
    usage: UsageModel = UsageModel()
    timings: Timings = Timings()
    truncated: bool = False
    prompt_sha256: str | None = None


class RoleServices:
    """The services of some roles, by their base addresses.

    A `transport` reaches services that are not on the network. Methods raise `Unavailable` and `ServiceMismatch`.
    """

    def __init__(
        self,
        addresses: Mapping[Role, Sequence[str]],
        *,
        token: str | None = None,
        retry: RetryPolicy | None = None,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._addresses = addresses
        self._retry = retry or RetryPolicy()
        self._answer_timeout_s = answer_timeout_s
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._http = httpx.AsyncClient(
            headers=headers,
            transport=transport,
            timeout=httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S, pool=None),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_S),
            # A proxy of the environment is for other machines.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def model(self, role: Role) -> ModelInfo:
        """The model that plays a role. Unavailable services are not waited for.

        Raises `ServiceMismatch` also if replicas run different models.
        """
        models = [await self._model(role, url) for url in self._addresses[role]]
        if any(_identity(other) != _identity(models[0]) for other in models):
            raise ServiceMismatch(
                f"the replicas of the {role} run different models", remedy="name replicas of one model, or only one"
            )
        return models[0]

    async def request(
        self, spec: RoleSpec[Request, Answer], request: Request, *, affinity: str = ""
    ) -> RoleResponse[Answer]:
        """The response of a role to one request.

        Requests with the same `affinity` go to the same replica while it is available. Raises `RoleRequestFailed`.
        """
        urls = _rotated(self._addresses[spec.role], affinity)
        url, response = await self._send(spec.role, urls, spec.path, request.model_dump_json().encode())
        return parse_response(spec, url, response)

    async def _model(self, role: Role, url: str) -> ModelInfo:
        _, response = await self._send(role, [url], "/v1/models", policy=NO_RETRY)
        try:
            models = ModelList.model_validate_json(response.content).data if response.is_success else []
        except ValidationError:
            models = []
        for model in models:
            if model.role == role:
                return model
        others = " and ".join(model.role for model in models)
        reason = f"it is a service of the {others}" if others else "it lists no model that plays a role"
        raise _mismatch(role, url, reason if response.is_success else reason_of(response))

    async def _send(
        self,
        role: Role,
        urls: Sequence[str],
        path: str,
        content: bytes | None = None,
        *,
        policy: RetryPolicy | None = None,
    ) -> tuple[str, httpx.Response]:
        """The first replica that is available, and its response, also one that is a problem document."""
        url = urls[0]

        async def attempt(number: int) -> httpx.Response | Failure:
            nonlocal url
            url = urls[number % len(urls)]
            return await self._attempt(role, url, path, content)

        def unavailable(failure: Failure) -> Unavailable:
            return Unavailable(
                f"the {role} at {public_url(url)} is unavailable: {failure.reason}",
                remedy="start it (`alpha-umi up`), name its address, or run the models in the command (--in-process)",
            )

        response = await retry(attempt, policy or self._retry, unavailable)
        return url, response

    async def _attempt(self, role: Role, url: str, path: str, content: bytes | None) -> httpx.Response | Failure:
        method = "GET" if content is None else "POST"
        try:
            response = await self._http.request(method, url.rstrip("/") + path, content=content)
        except httpx.ReadTimeout as error:
            seconds = self._answer_timeout_s
            raise Unavailable(f"the {role} at {public_url(url)} has not answered for {seconds:g} s") from error
        except httpx.HTTPError as error:
            return Failure.of_error(error)
        if response.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise TokenRefused(
                f"the {role} at {public_url(url)} does not accept the token", remedy="set ALPHA_UMI_ROLE_TOKEN"
            )
        if response.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
            raise _mismatch(role, url, reason_of(response))
        if response.status_code in RETRYABLE_STATUS and _kind(response) not in UNUSABLE_OUTPUT:
            return Failure.of_response(response)
        return response


def parse_response(spec: RoleSpec[Any, Answer], url: str, response: httpx.Response) -> RoleResponse[Answer]:
    """The response of a role at an address. Raises `RoleRequestFailed`, `ServiceMismatch`."""
    if _kind(response) in UNUSABLE_OUTPUT:
        unusable = _parsed(spec.role, response, _UnusableOutput)
        digest = _digest(spec.role, url, unusable.prompt_sha256)
        return RoleResponse(None, unusable.text, unusable.usage, unusable.timings, unusable.truncated, digest)
    if not response.is_success:
        kind = _kind(response) or "no-problem-document"
        raise RoleRequestFailed(spec.role, kind, reason_of(response), status=response.status_code)
    answer = _parsed(spec.role, response, spec.answer)
    digest = _digest(spec.role, url, answer.prompt_sha256)
    return RoleResponse(answer, "", answer.usage, answer.timings, answer.truncated, digest)


def _digest(role: Role, url: str, digest: str | None) -> str:
    if digest is None:
        reason = "its answers have no `prompt_sha256`"
        raise ServiceMismatch(
            f"the {role} at {public_url(url)} is of an earlier version: {reason}", remedy="update the service"
        )
    return digest


def _parsed(role: Role, response: httpx.Response, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        detail = f"the answer cannot be read: {explain(error, at='the body')}"
        raise RoleRequestFailed(role, INVALID_RESPONSE, detail, status=response.status_code) from error


def _kind(response: httpx.Response) -> str:
    problem = problem_of(response)
    return "" if problem is None else problem.kind


def _mismatch(role: Role, url: str, reason: str) -> ServiceMismatch:
    return ServiceMismatch(f"{public_url(url)} is no {role} service: {reason}", remedy=f"name the {role}'s address")


def _rotated(urls: Sequence[str], affinity: str) -> list[str]:
    """The addresses, beginning with the one that `affinity` selects."""
    first = crc32(affinity.encode("utf-8", "surrogatepass")) % len(urls)
    return [*urls[first:], *urls[:first]]


def _identity(model: ModelInfo) -> ModelInfo:
    """A model without the time when its service was started."""
    return model.model_copy(update={"created": 0})
