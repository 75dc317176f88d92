"""The application: one router a subject, errors as small documents, faults on request."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from examples.tool_api import calendar, numbers, places, sky, text, time_zones, units
from examples.tool_api.errors import NotKnown
from examples.tool_api.faults import Faults


def create_app(*, faults: bool = False) -> FastAPI:
    """The tool API. With `faults`, `POST /_faults` makes operations fail in a chosen way."""
    app = FastAPI(
        title="Everyday facts",
        version="1.0.0",
        description="Holidays, sun and moon, time zones, units, countries, currencies, statistics and text.",
    )
    for subject in (calendar, sky, time_zones, units, places, numbers, text):
        app.include_router(subject.router)
    app.add_exception_handler(NotKnown, _not_known)
    app.add_exception_handler(RequestValidationError, _not_valid)
    if faults:
        switch = Faults()
        app.include_router(switch.router())
        app.add_middleware(switch.middleware)
    return app


async def _not_known(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"title": "Not known", "detail": str(error)}, 404)


async def _not_valid(_: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": ("?",), "msg": str(error)}
    detail = f"{first['loc'][-1]}: {first['msg']}"
    return JSONResponse({"title": "Not valid", "detail": detail}, 422)
