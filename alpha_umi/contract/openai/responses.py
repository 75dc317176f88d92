"""Wire models of the Responses interface (Open Responses 2026-04-24; `openai` 3.57, `types/responses`).

A field that could not change anything here is accepted with its neutral value alone, and refused by name otherwise.
Hints, such as `reasoning.effort`, are accepted and shown again.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from pydantic.json_schema import SkipJsonSchema

from alpha_umi.contract.openai.input_items import Input, Text
from alpha_umi.contract.openai.request_model import RequestModel, by_type
from alpha_umi.contract.openai.tools import ResponseTool, ToolChoice
from alpha_umi.contract.roles import ANY_NOTATION
from alpha_umi.contract.trajectories import MAX_STEPS, MAX_TOKENS, MAX_TOOLS, MetadataName, MetadataText

Id = Annotated[str, Field(min_length=1, max_length=128)]
Label = Annotated[str, Field(max_length=64)]
Summary = Literal["auto", "concise", "detailed"]
# Nothing to include of most: there are no such items. A rationale is never encrypted.
Includable = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
]


class TextFormat(RequestModel):
    """The answer is a text."""

    type: Literal["text"]


class JsonObjectFormat(RequestModel):
    """The answer is a JSON object."""

    type: Literal["json_object"]


class JsonSchemaFormat(RequestModel):
    """The answer is JSON text that matches the schema, whether it is `strict` or not."""

    type: Literal["json_schema"]
    name: Label
    description: Annotated[str, Field(max_length=10_000)] | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool = True


class TextOptions(RequestModel):
    """The form of the answer. `verbosity` is a hint."""

    format: (
        Annotated[
            Annotated[TextFormat, Tag("(text)")]
            | Annotated[JsonObjectFormat, Tag("(json_object)")]
            | Annotated[JsonSchemaFormat, Tag("(json_schema)")],
            by_type("text", "json_object", "json_schema"),
        ]
        | None
    ) = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningOptions(RequestModel):
    """`effort` is a hint. With a `summary` reasoning items have one, which repeats their content."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Summary | None = None
    generate_summary: Summary | None = None


class StreamOptions(RequestModel):
    """Events are never obfuscated."""

    include_obfuscation: bool | None = None


class ConversationId(RequestModel):
    """A conversation by its id."""

    id: Id


def _conversation_tag(value: Any) -> str:
    return "(id)" if isinstance(value, str) else "(object)"


class CreateResponse(RequestModel):
    """`POST /v1/responses`."""

    model: Annotated[str, Field(max_length=256)] | None = None
    input: Input | None = None
    instructions: Text | None = None
    previous_response_id: Annotated[str, Field(max_length=128)] | None = None
    conversation: (
        Annotated[
            Annotated[Id, Tag("(id)")] | Annotated[ConversationId, Tag("(object)")], Discriminator(_conversation_tag)
        ]
        | None
    ) = None
    tools: Annotated[list[ResponseTool], Field(max_length=MAX_TOOLS)] | None = Field(
        default=None,
        description="When omitted: those of the previous response, or else every registered tool. An empty list: none",
    )
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = Field(default=None, description="There is one call at a time")
    max_tool_calls: Annotated[int, Field(ge=1, le=MAX_STEPS), ANY_NOTATION] | None = None
    max_output_tokens: Annotated[int, Field(ge=16, le=MAX_TOKENS), ANY_NOTATION] | None = Field(
        default=None, description="Completion tokens of all roles together"
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    include: Annotated[list[Includable], Field(max_length=16)] | None = None
    metadata: Annotated[dict[MetadataName, MetadataText], Field(max_length=16)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    background: bool = False
    store: bool = True
    truncation: Literal["auto", "disabled"] = "disabled"
    service_tier: Literal["auto", "default", "flex", "priority", "scale"] | None = None
    user: Label | None = None
    safety_identifier: Label | None = None
    prompt_cache_key: Label | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    presence_penalty: Literal[0] | None = Field(default=None, description="Not supported: 0 alone")
    frequency_penalty: Literal[0] | None = Field(default=None, description="Not supported: 0 alone")
    top_logprobs: Literal[0] | None = Field(default=None, description="Not supported: 0 alone")


class ResponseResource(BaseModel):
    """A response. It repeats the fields of its request; `output` are the items that were written so far."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None
    incomplete_details: dict[str, str] | None
    error: dict[str, str] | None
    previous_response_id: str | None
    conversation: dict[str, str] | None
    metadata: dict[str, str]


class DeletedResponse(BaseModel):
    """A response was deleted."""

    id: str
    object: Literal["response.deleted"] = "response.deleted"
    deleted: bool = True


class ItemsQuery(BaseModel):
    """Query of a list of items. `after` is the last id of the page before; `include` changes nothing here."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: Annotated[str, Field(max_length=128)] | SkipJsonSchema[None] = None
    include: list[str] = Field(default=[], alias="include[]")


class InputItemPage(BaseModel):
    """A page of the items of a request."""

    object: Literal["list"] = "list"
    data: list[dict[str, Any]]
    first_id: str | None
    last_id: str | None
    has_more: bool
