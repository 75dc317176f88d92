"""The frame of every HTTP service: one factory for the application, with health, metrics and documentation routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, disable_created_metrics, generate_latest

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from alpha_umi.web.access import AccessLog, HttpMetrics
from alpha_umi.web.connections import capacity_of
from alpha_umi.web.documentation import PLAIN_TEXT, documentation_asset, documentation_page, openapi_document
from alpha_umi.web.guard import KeyGuard
from alpha_umi.web.keys import Keyring, Scope, as_keyring
from alpha_umi.web.problems import PROBLEM_RESPONSES, install_problem_handlers
from alpha_umi.web.request_id import LogIds, RequestContext, no_log_ids
from alpha_umi.web.scopes import Operator

# The `_created` series of each counter are not used.
disable_created_metrics()  # type: ignore[no-untyped-call]

MAX_BODY_BYTES = 8 * 2**20

_log = telemetry.logger(__name__)

# Returns the document of `/readyz`. Raises `ServiceError` while the service cannot answer.
Readiness = Callable[[], Awaitable[dict[str, Any]]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_application(
    *,
    title: str,
    routers: Sequence[APIRouter],
    readiness: Readiness,
    registry: CollectorRegistry,
    keys: Sequence[str] | Keyring = (),
    lifespan: Lifespan | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    log_ids: LogIds = no_log_ids,
    max_connections: int | None = None,
) -> FastAPI:
    """An application in which every route except the health routes needs a key (if there are keys).

    Requests are counted in `registry`; `log_ids` returns the ids of each log line of a request. One owner has at most
    half of `max_connections`.
    """
    app = FastAPI(
        title=title,
        version=version("alpha-umi"),
        responses=PROBLEM_RESPONSES,
        lifespan=lifespan,
        # Replaced by routes of our own, which need a key.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    # The last one added handles a request first.
    share = None if max_connections is None else capacity_of(max_connections) // 2
    app.add_middleware(KeyGuard, keys=as_keyring(keys), registry=registry, owner_share=share)
    app.add_middleware(AccessLog, metrics=HttpMetrics(registry))
    app.add_middleware(RequestContext, max_body_bytes=max_body_bytes, log_ids=log_ids)
    install_problem_handlers(app)
    app.include_router(_operations(app, readiness, registry))
    for router in routers:
        app.include_router(router)
    return app


class _LoggedReadiness:
    """Calls the readiness check, and logs its result when it changes."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._obstacle: str | None = ""

    async def __call__(self) -> dict[str, Any]:
        try:
            readiness = await self._readiness()
        except ServiceError as error:
            self._note(str(error))
            raise
        self._note(None)
        return readiness

    def _note(self, obstacle: str | None) -> None:
        if obstacle != self._obstacle:
            self._obstacle = obstacle
            _log.info("readiness.changed", ready=obstacle is None, detail=obstacle)


def _visible(details: dict[str, Any], scopes: frozenset[Scope]) -> dict[str, Any]:
    """The details of `/readyz` for a sender: none for strangers, and addresses of services only for operators."""
    return {name: value for name, value in details.items() if scopes and (name != "replicas" or "operate" in scopes)}


def _operations(app: FastAPI, readiness: Readiness, registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/healthz", summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    ask = _LoggedReadiness(readiness)

    @router.get("/readyz", summary="The service can answer now")
    async def readyz(request: Request) -> dict[str, Any]:
        scopes: frozenset[Scope] = request.state.principal.scopes
        try:
            return {"status": "ready", **_visible(await ask(), scopes)}
        except ServiceError as error:
            detail = error.detail if scopes else "the service cannot answer now"
            raise ServiceError(error.kind, detail, extra=_visible(error.extra, scopes)) from error

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response, responses=PLAIN_TEXT)
    async def metrics(_: Operator) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(openapi_document(app))

    @router.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return documentation_page(app.title)

    @router.get("/docs/{asset}", include_in_schema=False)
    async def asset(asset: str) -> Response:
        return documentation_asset(asset)

    return router
