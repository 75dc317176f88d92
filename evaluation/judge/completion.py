"""What a judge answers, in the form of OpenAI's chat completions, as far as it is read here."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

# More than any answer costs; a larger count is none.
MOST_TOKENS: Final = 2**53


def _as_text(arguments: Any) -> str:
    """Some servers give the arguments of a call as the object that they are."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _usable(told: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Tokens are only counted: an answer is no worse for telling them wrongly."""
    try:
        return read(told)
    except ValidationError:
        return None


Tokens = Annotated[int, BeforeValidator(lambda told: 0 if told is None else told), Field(ge=0, le=MOST_TOKENS)]


class Called(BaseModel):
    """A function that the judge calls; `arguments` is JSON."""

    arguments: Annotated[str, BeforeValidator(_as_text)] = ""


class ToolCall(BaseModel):
    """A call of a function."""

    function: Called


class Message(BaseModel):
    """What the judge says: a call, or words."""

    content: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(BaseModel):
    """One of its answers."""

    message: Message


class Usage(BaseModel):
    """Tokens, where it tells them."""

    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0


class Completion(BaseModel):
    """`POST /chat/completions`. A `usage` that means nothing is none."""

    choices: list[Choice] = Field(min_length=1)
    usage: Annotated[Usage | None, WrapValidator(_usable)] = None

    @property
    def text(self) -> str:
        """The arguments of its call, else its words."""
        message = self.choices[0].message
        return message.tool_calls[0].function.arguments if message.tool_calls else message.content or ""


# An answer in which nothing could be read.
NOTHING: Final = Completion(choices=[Choice(message=Message())])


def read_completion(body: bytes) -> Completion | None:
    """The answer in a body; None where it is no chat completion, or holds text that is none in UTF-8."""
    try:
        return Completion.model_validate_json(body)
    except ValidationError:
        return None
