"""Resolves references to stored items, so that a conversation can be read."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from alpha_umi.contract.openai.input_items import InputItem, InputMessage, ItemReference
from alpha_umi.contract.problems import ServiceError, refusal
from alpha_umi.contract.validation import explain
from orchestrator.openai.ids import place_of
from orchestrator.openai.previous import PreviousResponse
from orchestrator.openai.response_view import response_resource
from orchestrator.store import EventStore, TrajectoryNotFound, TrajectoryPruned

# Each is read from the log.
MAX_RESPONSES: Final = 50
_ITEM: Final[TypeAdapter[InputItem]] = TypeAdapter(InputItem)

Documents = dict[str, dict[str, Any]]


async def resolved_items(
    store: EventStore,
    items: str | list[InputItem] | None,
    previous: PreviousResponse | None,
    *,
    owner: str,
) -> list[InputItem]:
    """The items of a request, with those that it refers to. A reference names an item that a response wrote, or one of
    a request in the trajectory that goes on.

    Raises `ServiceError`, which names the reference, and `StoreError`.
    """
    if items is None or isinstance(items, str):
        return [] if items is None else [InputMessage(role="user", content=items)]
    known: dict[str, Documents] = {}
    resolved: list[InputItem] = []
    for position, item in enumerate(items):
        if not isinstance(item, ItemReference):
            resolved.append(item)
            continue
        if not known and previous is not None:
            turns = await store.turns(previous.turn.trajectory_id, owner=owner)
            known[""] = {each["id"]: each for turn in turns for each in turn.document.get("input", ())}
        document = next((each[item.id] for each in known.values() if item.id in each), None)
        if document is None:
            document = await _written_item(store, item.id, known, owner=owner, place=f"input.{position}.id")
        try:
            resolved.append(_ITEM.validate_python(document))
        except ValidationError as error:
            # What a model wrote need not be Unicode.
            detail = f"the item {item.id!r} cannot be sent again: {explain(error, at='item')}"
            raise refusal(f"input.{position}", detail, "leave it out") from error
    return resolved


async def _written_item(
    store: EventStore, item_id: str, known: dict[str, Documents], *, owner: str, place: str
) -> dict[str, Any]:
    """An item that a response of the owner wrote. Its response's items become known."""
    at = place_of(item_id, "")
    if at is None:
        raise _not_found(item_id, place)
    if len(known) > MAX_RESPONSES:
        raise refusal(place, f"there are references to more than {MAX_RESPONSES} responses", "send the items")
    turns = [turn for turn in await store.turns(at[0], owner=owner) if turn.seq <= at[1] and turn.document.get("store")]
    if not turns:
        raise _not_found(item_id, place)
    try:
        resource = await response_resource(store, turns[-1])
    except (TrajectoryNotFound, TrajectoryPruned):
        raise _not_found(item_id, place) from None
    known[resource["id"]] = {each["id"]: each for each in resource["output"]}
    if item_id not in known[resource["id"]]:
        raise _not_found(item_id, place)
    return known[resource["id"]][item_id]


def _not_found(item_id: str, place: str) -> ServiceError:
    return refusal(place, f"there is no item {item_id!r}", "send the item itself")
