"""Accepts requests for responses: each begins a trajectory, a further turn of one, or answers the open call of one.

A request continues the trajectory of its previous response if nothing has continued it yet, and if model, tools and
`store` are the same; with the output of a call, the instructions, too. Otherwise a new trajectory begins, with the
history up to there.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from alpha_umi.contract.client_turns import MAX_OUTPUT_CHARACTERS
from alpha_umi.contract.openai.input_items import Compaction, FunctionCall, InputItem, ServerToolCall
from alpha_umi.contract.openai.responses import CreateResponse, JsonObjectFormat, JsonSchemaFormat
from alpha_umi.contract.problems import ServiceError, refusal
from alpha_umi.contract.roles import MAX_TURN_CHARACTERS, MAX_TURNS
from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.turns import Turn
from alpha_umi.trajectory import Action, Limits, MessageAdded, State, TrajectoryCreated, TurnOptions
from orchestrator.api.tools import require_answer_schema
from orchestrator.assembly import Orchestrator
from orchestrator.openai.conversation_input import FEW_TURNS, CallOutput, SuppliedConversation
from orchestrator.openai.input_items import supplied_conversation
from orchestrator.openai.item_references import resolved_items
from orchestrator.openai.models import ModelNames
from orchestrator.openai.previous import PreviousResponse, not_found, previous_response, stored_turn
from orchestrator.openai.request_document import request_document
from orchestrator.openai.tool_selection import SelectedTools, inherited_tools, selected_tools, tool_options
from orchestrator.runs.client_tools import ClientOutput
from orchestrator.runs.idempotency import AcceptedRequest
from orchestrator.runs.messages import TURNS_A_STEP
from orchestrator.store import RequestKey, SequenceConflict, TurnRecord, TurnRow
from orchestrator.workers import run_long

INTERFACE = "responses"
Result = TypeVar("Result")
# Why an output is refused that the trajectory does not wait for any more.
_NOT_OPEN = frozenset(
    ("no-output-expected", "call-id-mismatch", "output-already-submitted", "output-too-late", "trajectory-finished")
)


@dataclass(frozen=True)
class _Place:
    """Where a request begins: after a response, or after what clients put into a conversation."""

    previous: PreviousResponse | None
    conversation: str | None = None
    items: Sequence[InputItem] = ()


@dataclass(frozen=True)
class TurnRequest:
    """A request that was read, with what it makes of a turn. `key` is its idempotency key.

    `may_repeat`: an output that was submitted before begins another trajectory.
    """

    owner: str
    key: RequestKey | None
    strategy: Strategy
    tools: SelectedTools
    options: TurnOptions
    limits: Limits
    conversation: SuppliedConversation
    record: TurnRecord
    metadata: Mapping[str, str]
    background: bool = False
    may_repeat: bool = False


class ResponseRequests:
    """Accepts the requests of all owners."""

    def __init__(self, orchestrator: Orchestrator, models: ModelNames) -> None:
        self._orchestrator = orchestrator
        self._models = models

    async def begin(
        self, body: CreateResponse, *, owner: str, key: RequestKey | None = None, unstored: Collection[str] = ()
    ) -> AcceptedRequest:
        """Accept a request: what it leads to is committed when this returns.

        `key` is its idempotency key. `unstored` are the ids of responses with `store: false` that it may continue.
        Raises `ServiceError` and `StoreError`.
        """
        strategy = self._models.resolve(body.model)
        await _require_usable(body, strategy)
        # A conversation is held until the request is committed.
        async with self._place(body, owner, unstored) as place:
            request = await self._read(body, strategy, place, owner=owner, key=key)
            return await self.accept(request, place.previous)

    async def _read(
        self, body: CreateResponse, strategy: Strategy, place: _Place, *, owner: str, key: RequestKey | None
    ) -> TurnRequest:
        previous = place.previous
        items = await resolved_items(self._orchestrator.store, body.input, previous, owner=owner)
        is_large = _is_large([*place.items, *items])
        conversation = await computed(is_large, partial(supplied_conversation, items, before=place.items))
        if body.tools is None and previous is not None:
            tools = inherited_tools(previous.state)
        else:
            tools = await selected_tools(self._orchestrator, body.tools, owner=owner)
        texts = [text for text in (body.instructions, *conversation.instructions) if text]
        options = TurnOptions(
            instructions="\n\n".join(texts) or None,
            temperature=body.temperature,
            top_p=body.top_p,
            max_output_tokens=body.max_output_tokens,
            answer_schema=_answer_schema(body),
        )
        shown = partial(request_document, body, items, None if previous is None else previous.turn)
        document = await computed(is_large, shown)
        return TurnRequest(
            owner,
            key,
            strategy,
            tools,
            tool_options(options, body.tool_choice, tools),
            self._orchestrator.settings.limits(strategy, max_steps=body.max_tool_calls),
            conversation,
            TurnRecord(owner, INTERFACE, document, conversation=place.conversation),
            body.metadata or {},
            background=body.background,
        )

    @contextlib.asynccontextmanager
    async def _place(self, body: CreateResponse, owner: str, unstored: Collection[str]) -> AsyncIterator[_Place]:
        """Where a request begins. Raises `ServiceError`."""
        orchestrator, named = self._orchestrator, body.previous_response_id
        if body.conversation is not None:
            conversation_id = body.conversation if isinstance(body.conversation, str) else body.conversation.id
            async with orchestrator.conversations.continuation(conversation_id, owner=owner) as continuation:
                yield _Place(await self._load(continuation.previous), conversation_id, continuation.items)
            return
        turn = None if named is None else await stored_turn(orchestrator.store, named, owner=owner)
        if named is not None and (turn is None or not (turn.document["store"] or named in unstored)):
            raise not_found(named)
        yield _Place(await self._load(turn))

    async def _load(self, turn: TurnRow | None) -> PreviousResponse | None:
        if turn is None:
            return None
        return await previous_response(self._orchestrator.store, self._orchestrator.tool_sets, turn)

    async def accept(self, request: TurnRequest, previous: PreviousResponse | None) -> AcceptedRequest:
        """Accept a request that was read; `previous` is what it continues. Raises `ServiceError` and `StoreError`."""
        call = None if previous is None else previous.open_call
        output = None if call is None else request.conversation.outputs.get(call.call_id)
        if previous is not None and call is not None and output is not None:
            if previous.was_answered and not request.may_repeat:
                raise _not_open(f"the output of the call {call.call_id} was already submitted", output)
            if request.conversation.only_output is output and _continues(request, previous):
                accepted = await self._submit(request, previous, output)
                if accepted is not None:
                    return accepted
        admission = self._orchestrator.admission
        with admission.accept(request.owner, background=request.background):
            if previous is not None and call is None and _continues(request, previous):
                accepted = await self._extend(request, previous)
                if accepted is not None:
                    return _with_turn(accepted, request.record)
            return _with_turn(await self._create(request, previous, call), request.record)

    async def _submit(
        self, request: TurnRequest, previous: PreviousResponse, output: CallOutput
    ) -> AcceptedRequest | None:
        """The output of the call for which the trajectory waits; None if it does not, and another one may begin."""
        if len(output.text) > MAX_OUTPUT_CHARACTERS:
            detail = f"the output has {len(output.text)} characters, allowed are {MAX_OUTPUT_CHARACTERS}"
            raise refusal(f"{output.place}.output", detail, "send less")
        state = previous.state
        _require_turns(len(state.history) + 1, request)
        submitted = ClientOutput(
            output.call_id,
            output.text,
            request=request.key,
            turn=request.record,
            limits=request.limits,
            # The history has the instructions of the turn.
            options=replace(request.options, instructions=state.options.instructions),
        )
        try:
            return await self._orchestrator.client_turns.submit_tool_output(
                previous.turn.trajectory_id, submitted, owner=request.owner, background=request.background
            )
        except ServiceError as error:
            if error.kind not in _NOT_OPEN:
                raise
            # After the deadline nothing is answered twice, either.
            if request.may_repeat or error.kind == "output-too-late":
                return None
            raise _not_open(error.detail, output) from error

    async def _extend(self, request: TurnRequest, previous: PreviousResponse) -> AcceptedRequest | None:
        """A further turn; None if the request is more than a message, or another one was faster."""
        message = request.conversation.message
        if message is None:
            return None
        # Refused here as in a new trajectory.
        request.conversation.turns(previous.state.history)
        _require_room(request.options.instructions, message)
        try:
            return await self._orchestrator.client_turns.extend(
                previous.ended,
                MessageAdded(message, request.limits, request.options),
                background=request.background,
                request=request.key,
                turn=request.record,
            )
        except SequenceConflict:
            return None

    async def _create(
        self, request: TurnRequest, previous: PreviousResponse | None, call: Action | None
    ) -> AcceptedRequest:
        """A new trajectory, with the history of the previous one."""
        orchestrator, options = self._orchestrator, request.options
        before: tuple[Turn, ...] = ()
        if previous is not None:
            # Without a message of the user the newest turn goes on, with the instructions that it has.
            goes_on = call is not None and not request.conversation.has_message
            before = _without_instructions(previous.state) if goes_on else previous.state.history
            if goes_on and options.instructions is None:
                options = replace(options, instructions=previous.state.options.instructions)
        open_call = None if call is None else call.call_id
        read_turns = partial(request.conversation.turns, before, open_call=open_call)
        history = await computed(request.conversation.is_large, read_turns)
        _require_turns(len(history), request)
        instruction = next(turn.content for turn in reversed(history) if turn.role == "user")
        _require_room(options.instructions, instruction)
        tools = await request.tools.stored(orchestrator, previous)
        created = TrajectoryCreated(
            instruction,
            request.tools.names,
            request.limits,
            request.strategy,
            request.tools.client_tools,
            tools.digest,
            history=() if len(history) == 1 else history,
            options=options,
        )
        run = await orchestrator.runs.create(
            created,
            tools,
            owner=request.owner,
            metadata=request.metadata,
            background=request.background,
            request=request.key,
            turn=request.record,
        )
        if previous is not None and call is not None and previous.is_newest:
            self._cancel_waiting(previous, call)
        return AcceptedRequest(run.id, 1, run)

    def _cancel_waiting(self, previous: PreviousResponse, call: Action) -> None:
        """The call was answered in another trajectory: nothing waits for this one any more."""
        run = self._orchestrator.runs.find(previous.turn.trajectory_id, owner=previous.turn.owner)
        if run is not None and run.awaiting_client and run.driver.state.steps[-1].action == call:
            run.driver.cancel(f"the call {call.call_id} was answered in another trajectory")


def _is_large(items: Sequence[InputItem]) -> bool:
    """Whether reading the items takes milliseconds. Arguments and compactions hold JSON."""
    return len(items) > FEW_TURNS or any(isinstance(each, FunctionCall | ServerToolCall | Compaction) for each in items)


async def computed(is_large: bool, work: Callable[[], Result]) -> Result:
    """The result of some work, which does not hold the event loop if it is large."""
    return await run_long(work) if is_large else work()


async def _require_usable(body: CreateResponse, strategy: Strategy) -> None:
    """Raises `ServiceError` for fields that exclude each other, and for a schema that cannot be written."""
    if body.background and not body.store:
        raise refusal("background", "a response in the background is stored", "leave `store` out, or `background`")
    if body.conversation is not None and body.previous_response_id is not None:
        detail = "a conversation and a previous response are two places to continue"
        raise refusal("conversation", detail, "send one of `conversation` and `previous_response_id`")
    if body.conversation is not None and not body.store:
        raise refusal("store", "a conversation stores its responses", "leave `store` or `conversation` out")
    schema = _answer_schema(body)
    if schema is not None and strategy == "single":
        raise refusal("text.format", "the single model writes no answer inside a schema", "use another model")
    if schema is not None:
        await require_answer_schema(schema, field="text.format.schema")


def _answer_schema(body: CreateResponse) -> dict[str, object] | None:
    match body.text.format if body.text is not None else None:
        case JsonSchemaFormat(schema_=schema):
            return schema
        case JsonObjectFormat():
            return {"type": "object"}
        case _:
            return None


def _with_turn(accepted: AcceptedRequest, record: TurnRecord) -> AcceptedRequest:
    """The request with its record, as it was stored."""
    run = accepted.run
    if run is None:
        return accepted
    row = TurnRow(**vars(record), trajectory_id=run.id, seq=accepted.seq, at=run.started_at)
    return replace(accepted, turn=row)


def _continues(request: TurnRequest, previous: PreviousResponse) -> bool:
    """Whether the request can go on in the trajectory of its previous response."""
    state = previous.state
    is_same = (
        previous.is_newest
        and request.strategy == state.strategy
        and request.record.document["store"] == previous.turn.document["store"]
        and (request.tools.names, request.tools.client_tools) == (state.tools, state.client_tools)
    )
    if previous.open_call is None or not is_same:
        return is_same
    # The history has the instructions of the turn, before the message that is being answered.
    return request.options.instructions in (None, state.options.instructions, previous.turn.document["instructions"])


def _without_instructions(state: State) -> tuple[Turn, ...]:
    """The history without the instructions before its newest message of the user."""
    if state.options.instructions is None:
        return state.history
    place = max(index for index, turn in enumerate(state.history) if turn.role == "user")
    content = state.history[place].content.removeprefix(f"{state.options.instructions}\n\n")
    return (*state.history[:place], Turn("user", content), *state.history[place + 1 :])


def _require_turns(number: int, request: TurnRequest) -> None:
    """Raises `ServiceError` for a history that leaves no room for the steps of the request."""
    if number + TURNS_A_STEP * request.limits.max_steps + 3 > MAX_TURNS:
        detail = f"the conversation has {number} turns, and a trajectory {MAX_TURNS} with those that follow"
        raise refusal(request.conversation.field_name, detail, "send the newest part only")


def _require_room(instructions: str | None, message: str) -> None:
    size = len(instructions or "") + len(message) + 2
    if size > MAX_TURN_CHARACTERS:
        detail = f"instructions and message have {size} characters together, allowed are {MAX_TURN_CHARACTERS}"
        raise refusal("instructions", detail, "send shorter ones")


def _not_open(detail: str, output: CallOutput) -> ServiceError:
    return refusal(f"{output.place}.call_id", detail, "send the output of each open call once")
