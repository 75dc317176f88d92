"""A tool API for integration tests: configurable answers, errors and delays, and a record of calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse


@dataclass
class StubTools:
    """`calls` holds every call that arrived. `temperatures` answers `current_temperature` by city, with the `note`."""

    temperatures: dict[str, float] = field(default_factory=lambda: {"Oslo": 19.5, "Rome": 31.0})
    calls: list[tuple[str, str]] = field(default_factory=list)
    note: str | None = None

    def app(self) -> FastAPI:
        """The HTTP side."""
        app = FastAPI(title="Stub tools")

        @app.get("/temperature/{city:path}", operation_id="current_temperature", summary="Temperature of a city now")
        async def current_temperature(city: str) -> Response:
            self.calls.append(("current_temperature", city))
            if city not in self.temperatures:
                return JSONResponse({"error": f"no station in {city}"}, 404)
            measured = {"city": city, "celsius": self.temperatures[city]}
            return JSONResponse(measured if self.note is None else {**measured, "note": self.note})

        @app.get("/fault/{kind}", operation_id="faulty", summary="Fails as asked")
        async def faulty(kind: str) -> Response:
            self.calls.append(("faulty", kind))
            if kind == "slow":
                await asyncio.sleep(30)
            if kind == "large":
                return Response("x" * 3_000_000, media_type="application/json")
            if kind == "not_json":
                return Response("{'celsius': 19", media_type="application/json")
            return JSONResponse({"error": kind}, 500 if kind == "server_error" else 400)

        return app
