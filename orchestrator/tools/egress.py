"""The guarded HTTP client: every document fetch and every tool call goes through `Egress.send`.

It checks the address of each socket right before it connects (so that neither spellings of an address nor DNS rebinding
matter), and scheme, user info, origin and base path as the transport will read them. It allows no redirects, proxies,
cookies or compressed answers, and bounds headers, interim answers (such as `100 Continue`), body, time, and calls under
way. It leaves out who may call which tool, and what an answer means.

It uses httpx's types on aiohttp's transport, without httpx's client, which logs full URLs (they may hold an API key)
and stores cookies. A request is sent at most once: aiohttp's retries of GET, PUT and DELETE are off, and connections
are not reused, because a stale one would fail a call.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import unquote

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from httpx_aiohttp import AiohttpTransport
from yarl import URL

from orchestrator.tools.addresses import may_connect
from orchestrator.tools.call_limits import Caller, CallLimits
from orchestrator.tools.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    EgressError,
    ExchangeFailed,
    RequestRefused,
)
from orchestrator.tools.lookups import LookupTimedOut, ThreadedLookups

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_HEADER_LINE_BYTES: Final = 8 * 1024
MAX_HEADERS: Final = 100
MAX_HEAD_BYTES: Final = 256 * 1024
MAX_INTERIM: Final = 16

# The host of the request that a socket is opened for; aiohttp passes only the address to the socket factory.
_requested_host: ContextVar[str] = ContextVar("requested_host", default="")
# Path and query as they were encoded; aiohttp would decode what it takes to mean the same, such as `%2C`.
_requested_target: ContextVar[str] = ContextVar("requested_target")
CONNECT_TIMEOUT_S: Final = 10.0
USER_AGENT: Final = "alpha-umi"
_SWITCHING: Final = 101

_AddressInfo = tuple[int, int, int, str, tuple[str | int, ...]]


@dataclass(frozen=True)
class OutboundRequest:
    """A request, and the base URL that it must stay under. `headers` and `url` may hold secrets."""

    method: str
    url: str = field(repr=False)
    within: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """An answer. `media_type` is lower case without parameters; `truncated`: the body was longer."""

    status: int
    media_type: str
    charset: str | None
    body: bytes
    truncated: bool


class Egress:
    """The guarded HTTP client, one per process; close it at the end.

    `allow_loopback` permits addresses of this machine, `private_hosts` are names whose addresses may be private (such
    as those of a container network). `limits` bounds the calls under way. `resolver` and `tls` replace the name lookup
    and the system's certificate authorities.
    """

    def __init__(
        self,
        *,
        allow_loopback: bool = False,
        private_hosts: Collection[str] = (),
        limits: CallLimits | None = None,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.allow_loopback = allow_loopback
        self._private_hosts = frozenset(host.lower() for host in private_hosts)
        self._limits = limits or CallLimits()
        self._resolver = resolver
        self._tls = tls or httpx.create_ssl_context()
        self._transport = AiohttpTransport(verify=self._tls, trust_env=False, client=self._session)

    async def send(
        self,
        request: OutboundRequest,
        *,
        timeout_s: float,
        max_body_bytes: int = MAX_BODY_BYTES,
        caller: Caller | None = None,
    ) -> Answer:
        """The answer to the request, whatever its status, within `timeout_s` seconds after it is sent.

        It waits for its place before. Without a `caller` only the places of the host count. Raises
        `RequestRefused`, `ConnectionFailed`, `ExchangeFailed` or `DeadlineExceeded`; their messages contain neither
        path and query of the URL nor headers.
        """
        outbound = check_request(request, timeout_s)
        _requested_host.set(outbound.url.host.lower())
        _requested_target.set(outbound.url.raw_path.decode("ascii"))
        async with self._limits.place(outbound.url.netloc.decode(), caller):
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._exchange(outbound, max_body_bytes)
            except TimeoutError:
                raise DeadlineExceeded(f"no complete answer came within {timeout_s:g} s") from None
            except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
                raise _translated(error) from None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _session(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=self._tls,
            force_close=True,
            # Else a request would wait for the look-up of another owner, who may have no place left for it.
            use_dns_cache=False,
            resolver=_GuardedResolver(self._resolver or ThreadedLookups(), self._may_connect),
            socket_factory=self._open_socket,
        )
        # aiohttp has no public way to bound what comes before an answer.
        make_protocol = functools.partial(_BoundedHead, loop=asyncio.get_running_loop())
        connector._factory = make_protocol  # type: ignore[assignment]
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            middlewares=(_once,),
            max_line_size=MAX_HEADER_LINE_BYTES,
            max_field_size=MAX_HEADER_LINE_BYTES,
            max_headers=MAX_HEADERS,
        )

    def _open_socket(self, info: _AddressInfo) -> socket.socket:
        # The final check: aiohttp requests a socket for the address that it connects to next, also for hosts written
        # as numbers, which never reach the resolver.
        family, kind, protocol, _, address = info
        scope = address[3] if len(address) > 3 else 0
        if scope or not self._may_connect(_requested_host.get(), str(address[0])):
            raise _AddressForbidden
        return socket.socket(family=family, type=kind, proto=protocol)

    def _may_connect(self, host: str, address: str) -> bool:
        private = host.lower() in self._private_hosts
        return may_connect(address, allow_loopback=self.allow_loopback, allow_private=private)

    async def _exchange(self, request: httpx.Request, max_body_bytes: int) -> Answer:
        response = await self._transport.handle_async_request(request)
        try:
            encoding = response.headers.get("content-encoding", "identity").strip().lower()
            if encoding not in ("", "identity"):
                raise ExchangeFailed(
                    "the answer is compressed although the request did not accept that; it is not read"
                )
            body, truncated = await _read(response, max_body_bytes)
        finally:
            await response.aclose()
        return Answer(
            status=response.status_code,
            media_type=response.headers.get("content-type", "").partition(";")[0].strip().lower(),
            charset=response.charset_encoding,
            body=body,
            truncated=truncated,
        )


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send path and query as they were encoded, and translate the errors after which aiohttp would retry a request."""
    path, _, query = _requested_target.get().partition("?")
    request.url = URL.build(
        scheme=request.url.scheme, authority=request.url.raw_authority, path=path, query_string=query, encoded=True
    )
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientPayloadError("the connection broke") from error


class _BoundedHead(ResponseHandler):
    """Ends a connection on which too much comes before the answer proper; aiohttp would read and keep all of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._head_bytes = 0
        self._interim = 0
        self._answered = False

    def data_received(self, data: bytes) -> None:
        """Read what came. A head may end within it, so that somewhat more is read than is allowed."""
        super().data_received(data)
        if not self._answered:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES or self._interim > MAX_INTERIM:
                self.set_exception(HttpProcessingError(message="too much before the answer"))
                if self.transport is not None:
                    self.transport.abort()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Take over the answer proper. Interim answers are dropped, and so is what follows the answer."""
        interim = 100 <= data[0].code < 200 and data[0].code != _SWITCHING
        if interim:
            self._interim += 1
        elif not self._answered:
            self._answered = True
            super().feed_data(data, size)


class _AddressForbidden(OSError):
    """A socket was requested for an address that is not allowed."""


class _GuardedResolver(AbstractResolver):
    """Refuses a name if one of its addresses is not allowed, instead of using the others."""

    def __init__(self, inner: AbstractResolver, may_connect_to: Callable[[str, str], bool]) -> None:
        self._inner = inner
        self._may_connect_to = may_connect_to

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        results = await self._inner.resolve(host, port, family)
        if not all(self._may_connect_to(host, result["host"]) for result in results):
            raise _AddressForbidden
        return results

    async def close(self) -> None:
        await self._inner.close()


def parse_address(text: str) -> URL:
    """An absolute http or https address without user info and fragment, read the way the transport reads it.

    Raises `RequestRefused`, whose text does not repeat the address, as it may hold a password.
    """
    if any(character.isspace() or not character.isprintable() or character in "\\{}#" for character in text):
        raise RequestRefused("the address holds white space, a brace, a backslash, a # or a control character")
    try:
        url = URL(text)
        host, _ = url.host, url.port
    except ValueError:
        raise RequestRefused("this is not an address") from None
    if url.scheme not in ("http", "https") or not host:
        raise RequestRefused("the address must be absolute and begin with http:// or https://")
    if url.raw_user is not None or url.raw_password is not None:
        raise RequestRefused("the address holds a user name or password; pass those as credentials")
    if "%" in host:
        raise RequestRefused("the address holds an IPv6 zone")
    return url


def same_origin(one: URL, other: URL) -> bool:
    """Whether both have scheme, host and port in common."""
    return one.origin() == other.origin()


def check_request(request: OutboundRequest, timeout_s: float) -> httpx.Request:
    """The request as the transport takes it, after checking the address the way the transport reads it.

    Raises `RequestRefused`.
    """
    base = parse_address(request.within)
    parse_address(request.url)
    headers = {"user-agent": USER_AGENT, "accept": "application/json"} | {
        name.lower(): value for name, value in request.headers.items()
    }
    if "expect" in headers:
        raise RequestRefused("a header asks for an interim answer (Expect), which is not waited for")
    if any(not value.isprintable() for value in headers.values()):
        raise RequestRefused("a header holds a line end or another control character")
    try:
        outbound = httpx.Request(
            request.method,
            request.url,
            headers=headers | {"accept-encoding": "identity"},
            content=request.content,
            extensions={"timeout": {"connect": min(CONNECT_TIMEOUT_S, timeout_s), "pool": timeout_s}},
        )
        final = URL(str(outbound.url))
    except (ValueError, httpx.InvalidURL):
        raise RequestRefused("the address is not valid, or a header is not plain ASCII") from None
    path = outbound.url.raw_path.decode("ascii").partition("?")[0]
    # The path is sent as it was encoded, so it must be what was checked: dot segments make a difference.
    if (
        not same_origin(base, final)
        or not _under(final.raw_path, base.raw_path)
        or unquote(path) != unquote(final.raw_path)
    ):
        raise RequestRefused("the request would leave the origin or the base path of its tool source")
    return outbound


def _under(path: str, base_path: str) -> bool:
    return path == base_path or path.startswith(base_path.rstrip("/") + "/")


async def _read(response: httpx.Response, max_bytes: int) -> tuple[bytes, bool]:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), True
    return bytes(body), False


def _translated(error: Exception) -> EgressError:
    """The `EgressError` for an error of httpx or aiohttp, without its message, which may repeat the URL."""
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    match cause:
        case aiohttp.ClientConnectorError(os_error=_AddressForbidden()):
            return RequestRefused("the host does not lie on the public internet")
        case aiohttp.ClientConnectorDNSError(os_error=LookupTimedOut()):
            return ConnectionFailed("the host's name cannot be resolved: no name server answered in time")
        case aiohttp.ClientConnectorDNSError():
            return ConnectionFailed("the host's name cannot be resolved")
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError():
            return ConnectionFailed("no trusted TLS connection could be established")
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return ConnectionFailed("the host refuses the connection")
        case aiohttp.ConnectionTimeoutError() | aiohttp.ClientConnectorError():
            return ConnectionFailed("the host cannot be reached")
        case aiohttp.InvalidURL():
            return RequestRefused("the address is not valid")
        case aiohttp.ClientResponseError():
            return ExchangeFailed("the answer is not valid HTTP, or its headers are too large")
        case _:
            return ExchangeFailed("the connection broke before the answer was complete")
