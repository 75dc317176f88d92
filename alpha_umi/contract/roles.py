"""Wire models of the role services, and the table of roles (`ROLES`). Unknown fields are refused.

`tools` and `history` keep the design's form; `Tool` and `Turn` of `alpha_umi.roles` are what the code works with, and
`as_tools` and `as_history` are the one conversion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from alpha_umi.roles.planner import DECISIONS, Decision
from alpha_umi.roles.template import PlannerLabel
from alpha_umi.roles.turns import Role, Tool, Turn, TurnRole

# State of the circuit breaker of a role service's replica, as `/readyz` and the metrics show it.
CircuitState = Literal["closed", "open", "half-open"]

# Of one request: 100 of a trajectory, and `read_more` of the orchestrator.
MAX_PROMPT_TOOLS = 101
MAX_TURNS = 10_000
# The longest answer that a request can set.
MAX_ANSWER_TOKENS = 4_096
MAX_TURN_CHARACTERS = 1_000_000
MAX_NAME_CHARACTERS = 256
MAX_DESCRIPTION_CHARACTERS = 10_000
# Both ranges of control characters by number: U+0085 is white space here, and none in the regular expressions of
# ECMA-262, by which readers of an OpenAPI document go.
NAME_PATTERN = r"^[^\s,\[\]\x00-\x1f\x7f-\x9f]+$"


def _integral(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON knows one kind of number: 5.0 is an integer, as JSON Schema has it. Stands after the bounds of a field.
ANY_NOTATION = BeforeValidator(_integral)


class WireModel(BaseModel):
    """Base of all wire models. Strict: accepts exactly what the OpenAPI document describes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _with_readable_properties(parameters: dict[str, Any]) -> dict[str, Any]:
    """Check the parts of a schema that prompts use; services that use more validate the rest."""
    properties = parameters.get("properties", {})
    if not isinstance(properties, dict):
        raise ValueError("`properties` is not an object; give a schema to each name")
    for name, schema in properties.items():
        if isinstance(schema, dict):
            _check_property(name, schema)
    return parameters


def _check_property(name: str, schema: dict[str, Any]) -> None:
    kinds = schema.get("type", [])
    if not isinstance(kinds, str) and not (isinstance(kinds, list) and all(isinstance(kind, str) for kind in kinds)):
        raise ValueError(f"`type` of the property {name!r} is neither a name nor a list of names")
    if not isinstance(schema.get("description", ""), str):
        raise ValueError(f"`description` of the property {name!r} is no text")


Parameters = Annotated[dict[str, Any], AfterValidator(_with_readable_properties)]


class ToolModel(WireModel):
    """A tool on offer."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS, pattern=NAME_PATTERN)]
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARACTERS)] = ""
    parameters: Parameters = Field(default_factory=dict, description="JSON Schema of type object")


class TurnModel(WireModel):
    """One turn of the history, with its raw text."""

    role: TurnRole
    content: Annotated[str, Field(max_length=MAX_TURN_CHARACTERS)]


class Sampling(WireModel):
    """Sampling parameters. The default is greedy."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**31), ANY_NOTATION] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_ANSWER_TOKENS), ANY_NOTATION] | None = Field(
        default=None, description="Bound of the generated tokens; the service's own bound when omitted"
    )
    token_budget: Annotated[int, Field(ge=1), ANY_NOTATION] | None = Field(
        default=None, description="Bound of the generated tokens where it is lower than the other one"
    )
    attempts: Annotated[int, Field(ge=1, le=2), ANY_NOTATION] = Field(
        default=2, description="How often the model may write: with 1 an output that cannot be used is final"
    )


def _distinct_names(tools: list[ToolModel]) -> list[ToolModel]:
    seen: set[str] = set()
    for tool in tools:
        shown = Tool(tool.name).prompt_name
        if shown in seen:
            raise ValueError(f"two tools are called {shown!r}; names (their last 64 characters) must be unique")
        seen.add(shown)
    return tools


class DecisionRequest(Sampling):
    """A request for a decision. Without tools the model cannot decide for a call."""

    tools: Annotated[list[ToolModel], Field(max_length=MAX_PROMPT_TOOLS)]
    history: Annotated[list[TurnModel], Field(min_length=1, max_length=MAX_TURNS)]
    decisions: Annotated[list[Decision], Field(min_length=1, max_length=len(DECISIONS))] | None = Field(
        default=None, description="The decisions that the model may make; all that are possible when omitted"
    )
    constrained: bool = True
    stream: bool = False

    _names = field_validator("tools")(_distinct_names)

    @field_validator("decisions")
    @classmethod
    def _possible(cls, decisions: list[Decision] | None, info: ValidationInfo) -> list[Decision] | None:
        if decisions is not None and len(set(decisions)) < len(decisions):
            raise ValueError("a decision is listed twice; list each once")
        if "caller" in (decisions or ()) and info.data.get("tools") == []:
            raise ValueError("there is no tool for the decision 'caller'; offer tools, or leave it out")
        return decisions

    @property
    def allowed(self) -> tuple[Decision, ...]:
        """The decisions that the model may make."""
        return tuple(self.decisions or (each for each in DECISIONS if self.tools or each != "caller"))


class PlanRequest(DecisionRequest):
    """`POST /v1/plan`."""


class CallRequest(Sampling):
    """`POST /v1/call`."""

    tools: Annotated[list[ToolModel], Field(min_length=1, max_length=MAX_PROMPT_TOOLS)]
    history: Annotated[list[TurnModel], Field(min_length=1, max_length=MAX_TURNS)]
    thought: Annotated[str, Field(max_length=MAX_TURN_CHARACTERS)] | None = None
    constrained: bool = True

    _names = field_validator("tools")(_distinct_names)

    @model_validator(mode="after")
    def _one_thought(self) -> Self:
        newest = self.history[-1]
        if newest.role == "planner":
            if self.thought is not None and self.thought != newest.content:
                raise ValueError("`thought` differs from the planner turn that ends `history`; send one of them")
        elif self.thought is None:
            raise ValueError("`thought` is needed, because `history` does not end with a planner turn")
        return self


StopText = Annotated[str, Field(min_length=1, max_length=128)]


class SummarizeRequest(Sampling):
    """`POST /v1/summarize`.

    With an `answer_schema`, a JSON Schema, the answer is JSON text that matches it, unless a text of `stop` or a
    bound of the request ends it earlier. A trained template's prompt does not show the schema, and the grammar forces
    the form; a chat template's prompt shows it.
    """

    history: Annotated[list[TurnModel], Field(min_length=1, max_length=MAX_TURNS)]
    answer_schema: dict[str, Any] | None = None
    stop: Annotated[list[StopText], Field(max_length=4, description="Texts before which the answer ends")] = []
    stream: bool = False


class StepRequest(DecisionRequest):
    """`POST /v1/step`. `conclude`: only an answer is expected, because a limit was reached."""

    conclude: bool = False

    @field_validator("conclude")
    @classmethod
    def _concludes(cls, conclude: bool, info: ValidationInfo) -> bool:
        if conclude and info.data.get("decisions") is not None:
            raise ValueError("with `conclude` only an answer is expected; leave it or `decisions` out")
        return conclude


class RenderPlanRequest(PlanRequest):
    """`POST /v1/plan/render`."""

    template: str | None = None


class RenderCallRequest(CallRequest):
    """`POST /v1/call/render`."""

    template: str | None = None


class RenderSummarizeRequest(SummarizeRequest):
    """`POST /v1/summarize/render`."""

    template: str | None = None


class RenderStepRequest(StepRequest):
    """`POST /v1/step/render`."""

    template: str | None = None


class UsageModel(WireModel):
    """Tokens of one request, retries and repairs included. `cached_tokens` came from the prefix cache."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class Timings(WireModel):
    """Milliseconds: until the first token, and in all. `attempts` counts generations of the whole text."""

    ttft_ms: int = 0
    total_ms: int = 0
    attempts: int = 1


class RoleAnswer(WireModel):
    """What every role's answer carries. `truncated`: the model saw a shortened history.

    `prompt_sha256` is the digest of the first prompt of the request, which `.../render` shows; services of
    earlier versions do not send it. The problem document of an unusable output has both fields as well.
    """

    usage: UsageModel
    timings: Timings
    truncated: bool = False
    prompt_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="SHA-256 of the prompt's text in UTF-8, in hexadecimal"
    )


class PlanAnswer(RoleAnswer):
    """The planner's rationale and decision; `text` is its turn for the history."""

    thought: str
    next: Decision
    text: str


class ActionModel(WireModel):
    """A call."""

    name: str
    arguments: dict[str, Any]


class CallAnswer(RoleAnswer):
    """The caller's call; `text` is its turn for the history. `repaired`: the first attempt was not usable.

    `call_unfinished`: the token limit cut an attempt.
    """

    action: ActionModel
    text: str
    repaired: bool = False
    call_unfinished: bool = False


class SummarizeAnswer(RoleAnswer):
    """The summarizer's answer for the user. `unfinished`: the token limit cut it."""

    answer: str
    unfinished: bool = False


class StepAnswer(RoleAnswer):
    """The single model's step: rationale and decision, with the call or the answer that the decision needs.

    For `caller` there is an `action`, or a `reason` why the call that was written cannot be made; for `conclusion` an
    `answer`. `text` is what was written for it, without the rationale. `repaired`: the first call was not usable;
    `call_unfinished`: the token limit cut an attempt at it. `unfinished`: the token limit cut the answer.
    """

    thought: str
    next: Decision
    text: str
    action: ActionModel | None = None
    reason: str | None = None
    answer: str | None = None
    repaired: bool = False
    call_unfinished: bool = False
    unfinished: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.next == "caller" and (self.action is None) == (self.reason is None):
            raise ValueError("a step for the caller has an `action` or a `reason`, and not both")
        if self.next == "conclusion" and self.answer is None:
            raise ValueError("a conclusion has an `answer`")
        return self


Request = TypeVar("Request", bound=Sampling)
Answer = TypeVar("Answer", bound=RoleAnswer)


@dataclass(frozen=True)
class RoleSpec(Generic[Request, Answer]):
    """The HTTP interface of a role: path, request and answer models, and whether its text can be streamed."""

    role: Role
    path: str
    request: type[Request]
    answer: type[Answer]
    streams: bool


PLAN = RoleSpec("planner", "/v1/plan", PlanRequest, PlanAnswer, streams=True)
# An incomplete call is useless, so it is not streamed.
CALL = RoleSpec("caller", "/v1/call", CallRequest, CallAnswer, streams=False)
SUMMARIZE = RoleSpec("summarizer", "/v1/summarize", SummarizeRequest, SummarizeAnswer, streams=True)
STEP = RoleSpec("backbone", "/v1/step", StepRequest, StepAnswer, streams=True)
ROLES: dict[Role, RoleSpec[Any, Any]] = {spec.role: spec for spec in (PLAN, CALL, SUMMARIZE, STEP)}
if set(ROLES) != set(get_args(Role)):
    raise AssertionError("every role has one row")


class RenderAnswer(WireModel):
    """The exact prompt of the same request."""

    prompt: str
    prompt_tokens: int
    template: str
    truncated: bool = False


class Delta(WireModel):
    """A piece of a streamed answer (`event: delta`)."""

    text: str


class ModelInfo(WireModel):
    """One entry of `GET /v1/models`. `manifest` is the `alpha_umi.json` of the model's folder; a script has none.

    `planner_label` is how the histories of caller and summarizer name the planner's newest turn.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "alpha-umi"
    max_model_len: int
    answer_tokens: int | None = Field(default=None, description="Bound of an answer, where a request sets none")
    capacity: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Generations that the engine runs at once; null if unknown"
    )
    role: str
    template: str
    template_version: int = Field(default=1, description="Of the template's wording")
    planner_label: PlannerLabel = "assistant"
    hub: tuple[str, ...] = Field(default=(), description="What comes from a model hub, each as `org/name@commit`")
    server: dict[str, str] = Field(
        default_factory=dict, description="What a remote engine learned about its server: API, constraints, counts"
    )
    manifest: dict[str, Any] | None = None


class ModelList(WireModel):
    """`GET /v1/models`."""

    object: Literal["list"] = "list"
    data: list[ModelInfo]


def as_tools(tools: Sequence[ToolModel]) -> tuple[Tool, ...]:
    """The tools as types of `alpha_umi.roles`."""
    return tuple(Tool(tool.name, tool.description, tool.parameters) for tool in tools)


def as_history(turns: Sequence[TurnModel]) -> tuple[Turn, ...]:
    """The history as types of `alpha_umi.roles`."""
    return tuple(Turn(turn.role, turn.content) for turn in turns)


def as_turns(history: Iterable[Turn]) -> list[TurnModel]:
    """The wire form of a history; contents are cut to the length that services accept."""
    return [TurnModel(role=turn.role, content=turn.content[:MAX_TURN_CHARACTERS]) for turn in history]


def call_history(request: CallRequest) -> tuple[Turn, ...]:
    """The history that ends with the current rationale, whether it came as a turn or as `thought`."""
    history = as_history(request.history)
    if request.history[-1].role == "planner" or request.thought is None:
        return history
    return (*history, Turn("planner", request.thought))
