"""Wire models of `POST /v1/chat/completions`.

Sources: the types of the official client (`openai/types/chat`, 3.57), and vLLM for `reasoning_content`. Unknown fields
are refused. So are values of known fields that would change nothing here; null and the neutral value of such a field
are accepted. `alpha_umi` is what OpenAI's own service does not send.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, ValidationInfo, WrapValidator, field_validator

from alpha_umi.contract.openai.input_items import CallId, RefusalPart, Text
from alpha_umi.contract.openai.request_model import RequestModel, by_type, text_or_parts
from alpha_umi.contract.openai.responses import JsonObjectFormat, ReasoningOptions, TextFormat
from alpha_umi.contract.openai.tools import FUNCTION_NAME, RegisteredTools, ToolName, choice_tag
from alpha_umi.contract.roles import (
    ANY_NOTATION,
    MAX_DESCRIPTION_CHARACTERS,
    MAX_TURNS,
    Parameters,
    StopText,
    WireModel,
)
from alpha_umi.contract.trajectories import MAX_TOOLS, MetadataName, MetadataText
from alpha_umi.roles.turns import NAME_CHARACTERS

MAX_PARTS = 1_000
MAX_CALLS = 1_000
# Of what stands for itself, such as names and labels.
Label = Annotated[str, Field(max_length=512)]


def _or_unsupported(value: Any, handler: Any, info: ValidationInfo) -> Any:
    try:
        return handler(value)
    except ValidationError as error:
        raise ValueError(f"this value of `{info.field_name}` is not supported; leave the field out") from error


_UNSUPPORTED = WrapValidator(_or_unsupported)
Absent = Annotated[None, _UNSUPPORTED]
Off = Annotated[Literal[False] | None, _UNSUPPORTED]
Zero = Annotated[Literal[0] | None, ANY_NOTATION, _UNSUPPORTED]
Empty = Annotated[Annotated[dict[Label, Any], Field(max_length=0)] | None, _UNSUPPORTED]


class TextPart(WireModel):
    """Text of a message."""

    type: Literal["text"]
    text: Text


class ImageUrl(WireModel):
    """The address of an image, or the image itself as a data URL."""

    url: str
    detail: Label | None = None


class ImagePart(WireModel):
    """An image. It is not read: a text in its place says so."""

    type: Literal["image_url"]
    image_url: ImageUrl


class FileContent(WireModel):
    """A file, by its content or its id."""

    file_data: str | None = None
    file_id: Label | None = None
    filename: Label | None = None


class FilePart(WireModel):
    """A file. It is not read: a text in its place says so."""

    type: Literal["file"]
    file: FileContent


Part = Annotated[
    Annotated[TextPart, Tag("(text)")]
    | Annotated[RefusalPart, Tag("(refusal)")]
    | Annotated[ImagePart, Tag("(image_url)")]
    | Annotated[FilePart, Tag("(file)")],
    by_type("text", "refusal", "image_url", "file"),
]


Content = Annotated[
    Annotated[Text, Tag("(text)")] | Annotated[list[Part], Field(max_length=MAX_PARTS), Tag("(parts)")],
    Discriminator(text_or_parts),
]


class InstructionsMessage(WireModel):
    """Instructions of the application."""

    role: Literal["system", "developer"]
    content: Content
    name: Label | None = None


class UserMessage(WireModel):
    """A message of the user."""

    role: Literal["user"]
    content: Content
    name: Label | None = None


class CalledFunction(WireModel):
    """Name and arguments of a call. `arguments` is JSON text."""

    name: ToolName
    arguments: Text
    parsed_arguments: Any = Field(default=None, description="As helpers of clients add it; it is not read")


class FunctionCall(WireModel):
    """A call of a function of the client."""

    id: CallId
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = Field(default=None, description="As in a stream; it does not matter")


class ServerCall(WireModel):
    """A tool that the server has called."""

    id: CallId
    name: ToolName
    arguments: Text
    output: Text | None = None
    status: Label
    error: Text | None = None


class IncompleteDetails(WireModel):
    """Why a turn ended before the planner concluded: the code of a limit, or `gave_up`."""

    reason: Label


class Extension(WireModel):
    """What OpenAI's service does not send. `tool_calls` are those of the server."""

    tool_calls: Annotated[list[ServerCall], Field(max_length=MAX_CALLS)] | None = None
    incomplete_details: IncompleteDetails | None = None


class AssistantMessage(WireModel):
    """A message of the assistant, also in the form in which this or another server sent it."""

    role: Literal["assistant"]
    content: Content | None = None
    refusal: Text | None = None
    reasoning_content: Text | None = None
    tool_calls: Annotated[list[FunctionCall], Field(max_length=MAX_CALLS)] | None = None
    alpha_umi: Extension | None = None
    name: Label | None = None
    annotations: Annotated[list[Any], Field(max_length=MAX_PARTS)] | None = None
    parsed: Any = Field(default=None, description="As helpers of clients add it; it is not read")
    audio: Absent = None
    function_call: Absent = None


class ToolMessage(WireModel):
    """The output of a call."""

    role: Literal["tool"]
    content: Content
    tool_call_id: CallId
    name: Label | None = None


Message = Annotated[
    Annotated[InstructionsMessage, Tag("(system)")]
    | Annotated[InstructionsMessage, Tag("(developer)")]
    | Annotated[UserMessage, Tag("(user)")]
    | Annotated[AssistantMessage, Tag("(assistant)")]
    | Annotated[ToolMessage, Tag("(tool)")],
    by_type("system", "developer", "user", "assistant", "tool", field="role"),
]


class FunctionDefinition(RequestModel):
    """A function that the client carries out. `strict` changes nothing: arguments always match the schema."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_CHARACTERS, pattern=FUNCTION_NAME)]
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARACTERS)] | None = None
    parameters: Parameters | None = None
    strict: bool | None = None


class FunctionTool(WireModel):
    """A tool of the client."""

    type: Literal["function"]
    function: FunctionDefinition


ToolEntry = Annotated[
    Annotated[FunctionTool, Tag("(function)")] | Annotated[RegisteredTools, Tag("(alpha_umi:registered)")],
    by_type("function", "alpha_umi:registered"),
]


class NamedFunction(WireModel):
    """The name of a function."""

    name: ToolName


class NamedTool(WireModel):
    """A tool by its name: one of the client or of the server."""

    type: Literal["function"]
    function: NamedFunction


class AllowedTools(WireModel):
    """The tools of this request."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1, max_length=MAX_TOOLS)]


class AllowedToolsChoice(WireModel):
    """Only some of the tools."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("(mode)")]
    | Annotated[NamedTool, Tag("(function)")]
    | Annotated[AllowedToolsChoice, Tag("(allowed_tools)")],
    Discriminator(
        choice_tag,
        custom_error_type="unsupported_type",
        custom_error_message="it is `none`, `auto`, `required`, or an object of the type `function` or `allowed_tools`",
    ),
]


class NamedSchema(WireModel):
    """A JSON Schema with its name. `strict` changes nothing: an answer always matches the schema."""

    name: Label
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARACTERS)] | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(WireModel):
    """JSON text that matches a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("(text)")]
    | Annotated[JsonObjectFormat, Tag("(json_object)")]
    | Annotated[JsonSchemaFormat, Tag("(json_schema)")],
    by_type("text", "json_object", "json_schema"),
]


class StreamOptions(WireModel):
    """`include_usage` adds a last chunk with the usage. Nothing is obfuscated."""

    include_usage: bool | None = None
    include_obfuscation: Off = None


MaxTokens = Annotated[int, Field(ge=1), ANY_NOTATION]


class CreateChatCompletion(WireModel):
    """`POST /v1/chat/completions`."""

    model: Annotated[str, Field(max_length=256)] | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_TURNS, fail_fast=True)]
    tools: Annotated[list[ToolEntry], Field(max_length=MAX_TOOLS)] | None = Field(
        default=None, description="Every registered tool when omitted, none for an empty list"
    )
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = Field(default=None, description="A message has one call at most, either way")
    response_format: ResponseFormat | None = None
    max_completion_tokens: MaxTokens | None = None
    max_tokens: MaxTokens | None = Field(default=None, description="An earlier name of `max_completion_tokens`")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31), ANY_NOTATION] | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Annotated[dict[MetadataName, MetadataText], Field(max_length=16)] | None = None
    store: bool | None = Field(default=None, description="With false, nothing of it is stored once it has ended")
    user: Label | None = None
    safety_identifier: Label | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    prompt_cache_key: Label | None = None
    prompt_cache_retention: Label | None = None
    reasoning_effort: Label | None = Field(default=None, description="A hint, which changes nothing here")
    reasoning: ReasoningOptions | None = Field(default=None, description="The same, as for responses")
    verbosity: Label | None = Field(default=None, description="A hint, which changes nothing here")
    n: Annotated[Literal[1] | None, ANY_NOTATION, _UNSUPPORTED] = None
    modalities: Annotated[list[Literal["text"]] | None, Field(max_length=1), _UNSUPPORTED] = None
    logprobs: Off = None
    top_logprobs: Zero = None
    frequency_penalty: Zero = None
    presence_penalty: Zero = None
    logit_bias: Empty = None
    audio: Absent = None
    prediction: Absent = None
    web_search_options: Absent = None
    moderation: Absent = None
    prompt_cache_options: Absent = None
    functions: Absent = None
    function_call: Absent = None

    @field_validator("max_tokens")
    @classmethod
    def _one_bound(cls, bound: int | None, info: ValidationInfo) -> int | None:
        if bound is not None and info.data.get("max_completion_tokens") not in (None, bound):
            raise ValueError("it differs from `max_completion_tokens`; send one of them")
        return bound

    @field_validator("stream_options")
    @classmethod
    def _streamed(cls, options: StreamOptions | None, info: ValidationInfo) -> StreamOptions | None:
        if options is not None and not info.data.get("stream"):
            raise ValueError("they are for a stream; leave them out, or set `stream`")
        return options


class ResponseMessage(WireModel):
    """The assistant's message. `reasoning_content` has the rationales, `refusal` says that there is no answer."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    annotations: list[Any]
    reasoning_content: str | None = None
    tool_calls: list[FunctionCall] | None = None
    alpha_umi: Extension | None = None


class Choice(WireModel):
    """The one choice."""

    index: Literal[0]
    message: ResponseMessage
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: None


class CompletionUsage(WireModel):
    """Tokens of all roles. `reasoning_tokens` are the planner's."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[Literal["cached_tokens"], int]
    completion_tokens_details: dict[Literal["reasoning_tokens"], int]


class ChatCompletion(WireModel):
    """The answer to `POST /v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage
    service_tier: str
    metadata: dict[str, str] | None
