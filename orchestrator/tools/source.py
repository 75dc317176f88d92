"""What every kind of tool source has in common: its settings, and the provider that calls its tools.

A kind is a module that subclasses `ToolSource` and implements `ToolProvider`, and one line in `kinds`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from orchestrator.tools.egress import Egress, parse_address
from orchestrator.tools.errors import RequestRefused
from orchestrator.tools.model import EffectClass, LeftOut, RequestPreview, Tool, ToolResult


class ToolSource(BaseModel):
    """Settings of a tool source. `effect` is the effect class of tools whose source does not state it.

    `url` is where the source describes its tools, `base_url` where they are called. `shared`: its tools are offered to
    all owners (scope `operate`), and not only to its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    kind: str
    url: Annotated[str, Field(max_length=2_048)] | None = None
    base_url: Annotated[str, Field(max_length=2_048)] | None = None
    effect: EffectClass = EffectClass.UNKEYED_WRITE
    # The registration says whose it is, not the record.
    shared: bool = Field(default=False, exclude=True)

    @field_validator("url", "base_url")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address is not None:
            try:
                parse_address(address)
            except RequestRefused as error:
                raise ValueError(str(error)) from None
        return address

    def light(self) -> Self:
        """The source without what only loading it needs."""
        return self

    def record(self) -> dict[str, Any]:
        """A plain dict that `kinds.parse_source` reads back as `stored`. It holds the secrets in clear."""
        revealed = {
            field: {name: value.get_secret_value() for name, value in values.items()}
            for field, values in self.secrets().items()
        }
        return self.model_dump(mode="json") | revealed

    def secrets(self) -> dict[str, dict[str, SecretStr]]:
        """The fields that hold secrets, each with at least one."""
        return {
            field: values
            for field, values in self
            if isinstance(values, dict) and values and all(isinstance(value, SecretStr) for value in values.values())
        }


class ToolProvider(Protocol):
    """The tools of one source, loaded and ready to be called."""

    @property
    def source(self) -> ToolSource:
        """The source as it was loaded: loading it again offers the same tools."""
        ...

    @property
    def base_url(self) -> str | None:
        """The address at which the tools are called, for those who list sources."""
        ...

    @property
    def tools(self) -> Mapping[str, Tool]:
        """The tools by name, in the order of the source; it never changes."""
        ...

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """What the source describes and what did not become a tool, in the order of the source."""
        ...

    def preview(self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str) -> RequestPreview:
        """The request that `call` would send. Raises `ArgumentError` for arguments that it would refuse."""
        ...

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str, timeout_s: float
    ) -> ToolResult:
        """Call one of `tools` within `timeout_s` seconds. A failure of any kind is a result for the planner."""
        ...

    async def close(self) -> None:
        """Release what the provider holds, such as connections. Calls in flight may fail."""
        ...


Source = TypeVar("Source", bound=ToolSource)


@dataclass(frozen=True)
class SourceKind(Generic[Source]):
    """A kind of tool source: the model of its settings, and how a source of this kind is loaded.

    `load` takes the source and the guarded HTTP client. It raises `ToolSourceError`.
    """

    model: type[Source]
    load: Callable[[Source, Egress], Awaitable[ToolProvider]]
