"""The application: one router per subject, errors as problem documents, faults on request."""

from __future__ import annotations

import datetime as dt
from typing import Any

from fastapi import Depends, FastAPI, Request

from examples.tool_api import calendar, numbers, places, sky, text, time_zones, units
from examples.tool_api.errors import (
    MEDIA_TYPE,
    NotPossible,
    Problem,
    answer_errors_with_problems,
    suggestions,
)
from examples.tool_api.faults import Fault, Faults

_SUBJECTS = (calendar, sky, time_zones, units, places, numbers, text)


def create_app(*, faults: Fault | None = None, now: dt.datetime | None = None) -> FastAPI:
    """The tool API. `faults` is its first fault; `POST /_faults` sets another. `now` fixes its clock."""
    app = FastAPI(
        title="Everyday facts",
        version="1.0.0",
        description="Holidays, sun and moon, time zones, units, countries, currencies, statistics and text.",
        dependencies=[Depends(refuse_unknown_query)],
        responses=_problem_responses(),
    )
    for subject in _SUBJECTS:
        app.include_router(subject.router)
    if now is not None:
        app.dependency_overrides[time_zones.clock] = lambda: now
    answer_errors_with_problems(app)
    if faults is not None:
        switch = Faults(faults)
        app.include_router(switch.router())
        app.add_middleware(switch.middleware)
    return app


def refuse_unknown_query(request: Request) -> None:
    """A misspelled optional parameter would otherwise be ignored, and the answer be one to another question."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
    for name in request.query_params:
        if name not in known:
            close = suggestions(name, known)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            raise NotPossible(f"there is no query parameter {name!r}{hint}")


def _problem_responses() -> dict[int | str, dict[str, Any]]:
    schema = {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}
    described = {404: "Something in the question is not known", 422: "The question has no answer"}
    return {
        status: {"model": Problem, "description": description, "content": {MEDIA_TYPE: schema}}
        for status, description in described.items()
    }
