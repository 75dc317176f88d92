"""A small tool API that records executed calls and fails on request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request
from fastapi.responses import JSONResponse, Response

EFFECTS = {"look_up": "read", "reserve": "keyed_write", "order": "unkeyed_write"}


@dataclass
class Shop:
    """The API. `journal` holds (operation, item, idempotency key) of each execution.

    With `hang` calls wait until `release`, or until their client leaves, which `left` counts. Calls about an item that
    `gates` has wait in the same way for the item's own event, and so do documents. `details` are added to the answers
    about an item.
    """

    journal: list[tuple[str, str, str]] = field(default_factory=list)
    hang: bool = False
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    left: int = 0
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)

    def executed(self, operation: str) -> list[tuple[str, str]]:
        """Items and keys of one operation."""
        return [(item, key) for name, item, key in self.journal if name == operation]

    def application(self) -> FastAPI:
        """The API's application."""
        app = FastAPI(title="shop")

        @app.get("/items/{item}", operation_id="look_up", summary="Price of an item")
        async def look_up(item: str, request: Request) -> Response:
            return await self._execute("look_up", item, "", request)

        @app.post("/reservations/{item}", operation_id="reserve", summary="Reserve an item")
        async def reserve(
            item: str, request: Request, idempotency_key: Annotated[str, Header(include_in_schema=False)] = ""
        ) -> Response:
            return await self._execute("reserve", item, idempotency_key, request)

        @app.post("/orders/{item}", operation_id="order", summary="Order an item")
        async def order(item: str, request: Request) -> Response:
            return await self._execute("order", item, "", request)

        @app.get("/{name}.json", include_in_schema=False)
        async def document(name: str) -> Response:
            if (gate := self.gates.get(f"{name}.json")) is not None:
                await gate.wait()
            result = self.documents.get(f"{name}.json")
            return JSONResponse(result, 404 if result is None else 200)

        return app

    def source(self, address: str) -> dict[str, Any]:
        """A tool source of this API with its document, which states the effects."""
        document = self.application().openapi()
        for path in document["paths"].values():
            for operation in path.values():
                operation["x-effect"] = EFFECTS[operation["operationId"]]
        return {"name": "shop", "document": document, "base_url": address}

    async def _execute(self, operation: str, item: str, key: str, request: Request) -> Response:
        self.journal.append((operation, item, key))
        self.entered.set()
        if self.hang or item in self.gates:
            await self._until_released(request, self.gates.get(item, self.release))
        if item == "broken":
            return JSONResponse({"error": "out of order"}, 500)
        return JSONResponse({"item": item, "price": 10 * len(item)} | self.details.get(item, {}))

    async def _until_released(self, request: Request, release: asyncio.Event) -> None:
        released = asyncio.create_task(release.wait())
        leaving = asyncio.create_task(_leaves(request))
        await asyncio.wait({released, leaving}, return_when=asyncio.FIRST_COMPLETED)
        self.left += not released.done()
        for task in (released, leaving):
            task.cancel()


async def _leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
