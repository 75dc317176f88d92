"""Tools behind a server of ToolBench's protocol: StableToolBench's `/virtual`, or ToolBench's `/rapidapi`.

An orchestrator calls them as any other tools, on loopback; here each call becomes one `POST` of

    {"category", "tool_name", "api_name", "tool_input", "strip", "toolbench_key"}  ->  {"error", "response"}

and its answer the observation that the released α-UMi client makes of it (`ToolBench-multiLLM` in
X-PLUG/Multi-LLM-Agent): the response as JSON, or where it is empty `{"message": error}`, truncated to `max_characters`.
Other statuses and timeouts become the errors of the published client.

Requests to an unavailable server are retried within the timeout of one call. If it stays unavailable, or refuses the
key, the observation reports it; such a trajectory (`lost`) is not a result of the models.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

import httpx
from fastapi import FastAPI

from alpha_umi.client.errors import Unavailable
from alpha_umi.client.http import read_bounded
from alpha_umi.client.retry import RETRYABLE_STATUS, Failure, RetryPolicy, retry, retry_after_of
from alpha_umi.contract.problems import TYPE_PREFIX
from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.redaction import Redactor
from evaluation.errors import EvaluationError
from evaluation.replay.tool_server import Arguments, CallRefused, ToolAnswer, create_tool_server
from recordings.formats.toolbench_queries import ToolBenchApi

Strip = Literal["truncate", "filter", "random"]
PATH: Final = "/virtual"
MAX_OBSERVATION_CHARACTERS: Final = 1024
MAX_ANSWER_BYTES: Final = 4 * 2**20
AWAY: Final = "tool-server-away"
CONNECT_S: Final = 5.0
# Error messages of the published client.
TIMED_OUT, NOT_SENT = "Timeout error...", "request invalid, data error"
# Errors of a server that the published client distinguishes. Others have texts of their own.
KNOWN_ERRORS: Final = frozenset({
    "API not working error...", "Unauthorized error...", "Unsubscribed error...", "Too many requests error...",
    "Rate limit per minute error...", "Message error...",
})  # fmt: skip
ANSWERED: Final = "answered"
ANOTHER_ERROR: Final = "another error"
_OURS: Final = re.compile(rf"{NOT_SENT}(\. status_code=\d{{3}})?")
_LOST: Final = f'"{TYPE_PREFIX}{AWAY}"'
_OTHER_KEY: Final = "the tool server refuses the key"
_KEY_STATUS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class ServerRefused(EvaluationError):
    """The tool server refuses the key, or does not speak the protocol."""


@dataclass(frozen=True)
class VirtualServer:
    """A server and its options. `url` without a path means `/virtual`; `timeout_s` bounds a call with its retries."""

    url: str
    key: str = field(default="", repr=False)
    strip: Strip = "truncate"
    max_characters: int = MAX_OBSERVATION_CHARACTERS
    timeout_s: float = 15.0
    # Whether to use proxy variables of the environment.
    trust_env: bool = False

    @property
    def address(self) -> httpx.URL:
        """The address of calls."""
        url = httpx.URL(self.url)
        return url if url.path.strip("/") else url.copy_with(path=PATH)

    @property
    def shown(self) -> str:
        """The address without a password."""
        return str(self.address.copy_with(userinfo=b"", query=None))


@dataclass
class VirtualTools:
    """The tools of a server for an orchestrator. `counts` has the number of calls by outcome.

    After a server refused the key (`key_refused`), no more requests are sent.
    """

    server: VirtualServer
    counts: Counter[str] = field(default_factory=Counter)
    key_refused: bool = False

    def application(self, tools: Sequence[ToolBenchApi]) -> FastAPI:
        """A tool server for the orchestrator. Raises `CannotBeOffered`."""
        named = {tool.prompt_name: tool for tool in tools}
        http = _client(self.server)

        @contextlib.asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with http:
                yield

        async def answer(name: str, arguments: Arguments) -> ToolAnswer:
            return await self._answer(http, named[name], arguments)

        return create_tool_server("ToolBench", tools, answer, lifespan=lifespan)

    def lost(self, trajectory: Trajectory) -> bool:
        """Whether a trajectory made a call while the server could not be used."""
        # A server may answer the same text; only a refused call is an error in the trajectory.
        seen = [step.observation for step in trajectory.steps if step.observation is not None]
        return any(each.is_error and _LOST in each.content for each in seen)

    async def ready(self, policy: RetryPolicy) -> None:
        """Check the server. Raises `Unavailable`, and `ServerRefused` for another kind of server, or one that refuses
        the key.
        """
        async with _client(self.server) as http:
            response = await retry(lambda _: _probe(http, self.server), policy, self._unavailable)
        if self.key_refused or response.status_code in _KEY_STATUS:
            raise ServerRefused(
                f"the tool server at {self.server.shown} refuses the key",
                remedy="name its key with ALPHA_UMI_TOOLBENCH_KEY or --tool-key-file",
            )
        if response.status_code == HTTPStatus.NOT_FOUND:
            raise ServerRefused(
                f"there is no tool server at {self.server.shown}: status 404",
                remedy=f"name its full address, such as http://HOST:8080{PATH}",
            )

    async def _answer(self, http: httpx.AsyncClient, tool: ToolBenchApi, arguments: Arguments) -> ToolAnswer:
        """The observation of a call. Raises `CallRefused` while the server cannot be used."""
        waits = RetryPolicy(wait_s=self.server.timeout_s * 0.6, first_pause_s=0.1, longest_pause_s=2.0)
        try:
            async with asyncio.timeout(self.server.timeout_s):
                error, response = await retry(lambda _: self._post(http, tool, arguments), waits, self._unavailable)
        except TimeoutError:
            error, response = TIMED_OUT, ""
        except (Unavailable, ServerRefused) as failure:
            self.counts[AWAY] += 1
            raise CallRefused(
                AWAY, "The tool server cannot be used", failure.message, status=HTTPStatus.SERVICE_UNAVAILABLE
            ) from failure
        self.counts[_counted(error)] += 1
        return ToolAnswer(observation(*self._without_key(error, response), self.server.max_characters))

    async def _post(
        self, http: httpx.AsyncClient, tool: ToolBenchApi, arguments: Arguments
    ) -> tuple[str, Any] | Failure:
        if self.key_refused:
            raise ServerRefused(_OTHER_KEY)
        try:
            async with http.stream(
                "POST", self.server.address, json=_payload(self.server, tool, arguments)
            ) as response:
                if response.status_code in RETRYABLE_STATUS:
                    return Failure(f"status {response.status_code}", retry_after_of(response))
                if response.status_code in _KEY_STATUS:
                    self.key_refused = True
                    raise ServerRefused(_OTHER_KEY)
                return _read(response.status_code, await read_bounded(response, MAX_ANSWER_BYTES))
        except httpx.ReadTimeout:
            return TIMED_OUT, ""
        except httpx.HTTPError as error:
            return Failure(type(error).__name__)

    def _without_key(self, error: str, response: Any) -> tuple[str, Any]:
        """Remove the key, which a server may echo."""
        error, response = json.loads(Redactor.of_key(self.server.key).redact_strings(json.dumps([error, response])))
        return error, response

    def _unavailable(self, failure: Failure) -> Unavailable:
        return Unavailable(
            f"the tool server at {self.server.shown} is unavailable: {failure.reason}",
            remedy="start it, or name its address with --tool-server",
        )


def _counted(error: str) -> str:
    """The outcome under which a call is counted."""
    if not error:
        return ANSWERED
    return error if error in KNOWN_ERRORS or error == TIMED_OUT or _OURS.fullmatch(error) else ANOTHER_ERROR


def observation(error: str, response: Any, max_characters: int) -> str:
    """The observation of an answer."""
    text = json.dumps({"message": error} if response == "" else response)
    return text if len(text) <= max_characters else text[:max_characters] + "..."


def _client(server: VirtualServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        headers={"toolbench_key": server.key} if server.key else {},
        timeout=httpx.Timeout(server.timeout_s, connect=min(CONNECT_S, server.timeout_s)),
        trust_env=server.trust_env,
    )


def _payload(server: VirtualServer, tool: ToolBenchApi, arguments: Arguments) -> dict[str, str]:
    return {
        "category": tool.category,
        "tool_name": tool.tool_name,
        "api_name": tool.api_name,
        "tool_input": json.dumps(arguments),
        "strip": server.strip,
        "toolbench_key": server.key,
    }


async def _probe(http: httpx.AsyncClient, server: VirtualServer) -> httpx.Response | Failure:
    """Probe the server with a request that calls no tool; a refused method counts as an answer."""
    try:
        response = await http.get(server.address)
    except httpx.HTTPError as error:
        return Failure(str(error) or type(error).__name__)
    away = response.status_code in RETRYABLE_STATUS
    return Failure(f"status {response.status_code}", retry_after_of(response)) if away else response


def _read(status: int, body: bytes) -> tuple[str, Any]:
    """The error and the response, as the published client has them."""
    if status != HTTPStatus.OK:
        return f"{NOT_SENT}. status_code={status}", ""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return NOT_SENT, ""
    if not isinstance(value, dict) or not isinstance(value.get("error"), str) or "response" not in value:
        return NOT_SENT, ""
    return value["error"], value["response"]
