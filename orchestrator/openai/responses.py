"""Routes of responses: create, read, cancel and delete; the items of a request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from alpha_umi.contract.openai.response_events import OPENAI_HEADER
from alpha_umi.contract.openai.responses import (
    CreateResponse,
    DeletedResponse,
    InputItemPage,
    ItemsQuery,
    ResponseResource,
)
from alpha_umi.contract.problems import ServiceError, refusal
from alpha_umi.web.scopes import User
from orchestrator.api.answers import IdempotencyKey, carry_out, json_response, request_key
from orchestrator.api.audit import audit_entry
from orchestrator.api.bodies import BoundedBodyRoute
from orchestrator.assembly import Orchestrator
from orchestrator.openai.begin import ResponseRequests
from orchestrator.openai.models import ModelNames
from orchestrator.openai.previous import stored_turn
from orchestrator.openai.response_view import RESPONSE_STREAM, ResponseView, response_resource, stream_response
from orchestrator.runs.idempotency import HEADER, AcceptedRequest
from orchestrator.store import RequestKey, TrajectoryNotFound, TrajectoryPruned, TurnRow

Place = Annotated[int, Field(ge=0)]


class ReadQuery(BaseModel):
    """Query of `GET /v1/responses/{id}`. `include` and `include_obfuscation` change nothing here."""

    model_config = ConfigDict(extra="forbid")

    stream: bool = False
    starting_after: Place | SkipJsonSchema[None] = None
    include: list[str] = Field(default=[], alias="include[]")
    include_obfuscation: bool = False


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["responses"], route_class=BoundedBodyRoute)
    store, runs = orchestrator.store, orchestrator.runs
    requests = ResponseRequests(orchestrator, ModelNames(orchestrator))

    @router.post(
        "/v1/responses",
        response_model=ResponseResource,
        summary="Create a response",
        responses=RESPONSE_STREAM,
    )
    async def create(body: CreateResponse, user: User, request: Request, key: IdempotencyKey) -> Response:
        identity = request_key(request, key, body)
        if identity is not None:
            await require_not_deleted(identity)
        kind = ResponseView if body.store else _UnstoredView
        view = kind(orchestrator, user.owner, openai_names=OPENAI_HEADER in request.headers)

        async def accept() -> AcceptedRequest:
            return await requests.begin(body, owner=user.owner, key=identity)

        return await carry_out(
            orchestrator, request, identity, accept, stream=body.stream, background=body.background, view=view
        )

    @router.get(
        "/v1/responses/{response_id}",
        response_model=ResponseResource,
        summary="One response, or the stream of its events",
        responses=RESPONSE_STREAM,
    )
    async def read(
        response_id: str,
        user: User,
        request: Request,
        query: Annotated[ReadQuery, Query()],
        last_event_id: Annotated[Place | SkipJsonSchema[None], Header()] = None,
    ) -> Response:
        turn = await find(response_id, user.owner)
        after = query.starting_after if last_event_id is None else last_event_id
        if query.stream:
            names = OPENAI_HEADER in request.headers
            return await stream_response(orchestrator, turn, starting_after=after, openai_names=names)
        if after is not None:
            detail = "a response that is not streamed has no place to start after"
            raise refusal("starting_after", detail, "send `stream=true`, too")
        return await shown(turn)

    @router.post(
        "/v1/responses/{response_id}/cancel",
        response_model=ResponseResource,
        summary="Cancel a response; requests in flight are aborted",
    )
    async def cancel(response_id: str, user: User) -> Response:
        turn = await find(response_id, user.owner)
        resource = await response_resource(store, turn)
        if resource["status"] not in ("queued", "in_progress"):
            raise _has_ended(response_id, resource["status"])
        run = await runs.attach(turn.trajectory_id, owner=user.owner)
        if run is not None:
            act = audit_entry(user, "response.cancelled", response_id)
            run.driver.cancel("cancelled by the client", audit=act)
            await run.ended()
        resource = await response_resource(store, turn)
        if resource["status"] != "cancelled":
            runs.require_open()
            raise _has_ended(response_id, resource["status"])
        return json_response(json.dumps(resource))

    @router.delete("/v1/responses/{response_id}", summary="Delete a response")
    async def remove(response_id: str, user: User) -> DeletedResponse:
        turn = await find(response_id, user.owner)
        await orchestrator.response_deletion.delete(turn, audit=audit_entry(user, "response.deleted", response_id))
        return DeletedResponse(id=response_id)

    @router.get("/v1/responses/{response_id}/input_items", summary="The items of a request")
    async def input_items(response_id: str, user: User, query: Annotated[ItemsQuery, Query()]) -> InputItemPage:
        items = list((await find(response_id, user.owner)).document["input"])
        if query.order == "desc":
            items.reverse()
        ids = [item["id"] for item in items]
        if query.after is not None and query.after not in ids:
            detail = f"the request has no item {query.after!r}"
            raise refusal("after", detail, "send the last id of a page")
        start = 0 if query.after is None else ids.index(query.after) + 1
        page = items[start : start + query.limit]
        return InputItemPage(
            data=page,
            first_id=page[0]["id"] if page else None,
            last_id=page[-1]["id"] if page else None,
            has_more=start + query.limit < len(items),
        )

    async def find(response_id: str, owner: str) -> TurnRow:
        turn = await stored_turn(store, response_id, owner=owner)
        if turn is None or not turn.document["store"]:
            raise _not_found(response_id)
        return turn

    async def require_not_deleted(identity: RequestKey) -> None:
        record = await store.find_idempotency_record(identity)
        if record is None or record.digest != identity.digest:
            return
        turns = await store.turns(record.trajectory_id, owner=identity.owner)
        if all(turn.seq != record.seq for turn in turns):
            detail = f"the response to the earlier request with this {HEADER} was deleted"
            remedy = "use a new key for a new request"
            raise ServiceError("response-not-found", detail, field=HEADER, remedy=remedy)

    async def shown(turn: TurnRow) -> Response:
        try:
            return json_response(json.dumps(await response_resource(store, turn)))
        except (TrajectoryNotFound, TrajectoryPruned) as error:
            raise _not_found(str(error)) from error

    return router


class _UnstoredView(ResponseView):
    """The answer of a response that is deleted after it."""

    def __init__(self, orchestrator: Orchestrator, owner: str, *, openai_names: bool = False) -> None:
        super().__init__(orchestrator, owner, openai_names=openai_names)
        self._deletion = orchestrator.response_deletion

    def headers(self, accepted: AcceptedRequest) -> Mapping[str, str]:
        """Hold the response until it is answered."""
        self._deletion.hold(accepted.trajectory_id, self)
        return super().headers(accepted)


def _not_found(response_id: str) -> ServiceError:
    return ServiceError("response-not-found", f"response with id {response_id[:128]!r} not found", field="response_id")


def _has_ended(response_id: str, status: str) -> ServiceError:
    return ServiceError("response-finished", f"response {response_id} has ended: {status}")
