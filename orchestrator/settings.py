"""Settings of the orchestrator, from the environment (prefix `ALPHA_UMI_`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, HttpUrl, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from alpha_umi.contract.openai.models import MODELS
from alpha_umi.contract.roles import ROLES
from alpha_umi.contract.trajectories import MAX_STEPS, MAX_TOKENS, Strategy
from alpha_umi.quantities import parse_duration
from alpha_umi.roles.turns import Role
from alpha_umi.telemetry import LogFormat
from alpha_umi.trajectory import Limits, UnreadablePolicy
from alpha_umi.web.connections import MAX_CONNECTIONS
from alpha_umi.web.keys import Keyring, StrongSecret
from orchestrator.admission.admission import QueueLimits
from orchestrator.admission.rates import Rate, RateKind, Rates
from orchestrator.admission.running_capacity import LEAST, Bounds

PREFIX = "ALPHA_UMI_"

Seconds = Annotated[float, Field(gt=0, le=86_400)]
PerMinute = Annotated[int, Field(ge=1, le=1_000_000_000)] | None
# Base addresses of one role's replicas, comma separated.
_ADDRESSES = tuple(f"{role}_url" for role in ROLES)
Addresses = Annotated[tuple[HttpUrl, ...], NoDecode, Field(min_length=1)]

# Roles take turns, and tools take time as well: so many trajectories at most keep a role's engines busy.
RUNNING_PER_CALL = 4
# Of a role whose engines report nothing: at least, and at most (vLLM's usual batch).
UNKNOWN_CAPACITY = (LEAST, 256)
# The part of a turn's time limit that trajectories may take because others proceed as well.
SHARE_OF_TIME = 0.25

# Old names of variables, without the prefix, and what replaces them.
RENAMED = {"ON_UNREADABLE": "ON_PARSE_FAILURE"}


class RenamedSetting(Exception):
    """A variable is set by its old name. The message has both names."""


class OrchestratorSettings(BaseSettings):
    """Address, role services and limits of trajectories. Durations are in seconds.

    `role_timeout_s` bounds an attempt of a role call, `tool_timeout_s` one tool call, `trajectory_timeout_s` a
    turn of a trajectory from its start, or from its recovery after a restart. The time in which it waits for a client's
    tool output does not count: each of those waits is bounded by `client_tool_timeout_s`.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    api_keys: Annotated[tuple[StrongSecret, ...], NoDecode] = Field(default=(), description="Comma separated")
    api_keys_file: Path | None = Field(default=None, description="File of hashed keys, as `alpha-umi keys` makes it")
    max_connections: Annotated[int, Field(ge=16, le=100_000)] = Field(
        default=MAX_CONNECTIONS, description="Open connections of clients, half of which one address may have"
    )
    database_url: str = "sqlite:///alpha-umi.db"
    planner_url: Addresses = (HttpUrl("http://127.0.0.1:8001"),)
    caller_url: Addresses = (HttpUrl("http://127.0.0.1:8002"),)
    summarizer_url: Addresses = (HttpUrl("http://127.0.0.1:8003"),)
    backbone_url: Annotated[tuple[HttpUrl, ...], NoDecode] = Field(
        default=(), description="The single model, for the strategy `single`; comma separated"
    )
    model_aliases: Annotated[Mapping[str, str], NoDecode] = Field(
        default_factory=dict, description="Further names of models on `/v1/models`, such as gpt-4o=alpha-umi"
    )
    role_token: StrongSecret | None = Field(default=None, description="Bearer token of the role services")
    secrets_key: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="Keys that encrypt credentials of stored tool sources, newest first, comma separated",
    )
    secrets_key_file: Path | None = Field(default=None, description="File of such keys, one a line")
    mcp: bool = Field(default=True, description="Whether the Model Context Protocol is served at /mcp")
    mcp_tools: bool = Field(
        default=False, description="Whether clients of /mcp are offered each registered tool, besides `run`"
    )
    tool_sources: Path | None = Field(default=None, description="YAML or JSON file of tool sources")
    max_sources: Annotated[int, Field(ge=0)] = Field(
        default=100, description="Tool sources that an owner may register; shared ones do not count"
    )
    max_source_tools: Annotated[int, Field(ge=0)] = Field(
        default=10_000, description="Tools that the sources of an owner may have together"
    )
    allow_loopback_tools: bool = False
    allowed_tool_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Hosts, comma separated, whose addresses may be private"
    )
    calls_per_tool: Annotated[int, Field(ge=1)] = Field(default=64, description="Calls of one tool under way at a time")
    calls_per_source: Annotated[int, Field(ge=1)] = Field(default=128, description="The same of all tools of a source")
    calls_per_host: Annotated[int, Field(ge=1)] = Field(default=256, description="The same of all sources on one host")
    max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = 8
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = Field(
        default=None,
        description="Tokens of all roles together after which an answer is requested; no limit by default",
    )
    search_max_steps: Annotated[int, Field(ge=1, le=MAX_STEPS)] = Field(
        default=30,
        description="Steps of a search on all branches together; 30 are the complete tree of depth 4, width 2",
    )
    search_depth: Annotated[int, Field(ge=1, le=MAX_STEPS)] = Field(
        default=4, description="Steps of a branch after which a search backtracks"
    )
    search_width: Annotated[int, Field(ge=1, le=8)] = Field(
        default=2, description="Children of a step before a search backtracks further"
    )
    max_repeats: Annotated[int, Field(ge=1, le=MAX_STEPS)] = Field(
        default=3, description="How often the same call may return the same result before the turn ends"
    )
    on_parse_failure: UnreadablePolicy = Field(
        default="conclusion", description="The decision to assume when the planner's output cannot be parsed"
    )
    max_answer_bytes: Annotated[int, Field(ge=16_384, le=1_048_576)] = Field(
        default=262_144, description="Bytes of a tool's result that the log stores, for `read_more`"
    )
    constrained: bool = Field(default=True, description="Whether roles generate inside grammars")
    retrieve_above: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5,
        description="Share of the smallest context above which the tools of a trajectory are retrieved for each step",
    )
    retrieve_tools: Annotated[int, Field(ge=1, le=50)] = Field(
        default=10, description="Tools that a step is offered when they are retrieved"
    )
    retention: timedelta | None = Field(
        default=None, description="How long a trajectory is stored after its end, such as 30d; for ever by default"
    )
    retention_export: Path | None = Field(
        default=None, description="Folder to which a trajectory is exported before it is deleted for its age"
    )
    role_timeout_s: Seconds = 120
    tool_timeout_s: Seconds = 20
    trajectory_timeout_s: Seconds = 900
    client_tool_timeout_s: Seconds = Field(default=600, description="Timeout of a client tool's output")
    max_running: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Trajectories that proceed at a time; by default as many as raise the rate at which they end, at "
        "most four times what the smallest role runs at once, and at least 64",
    )
    max_queued: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        default=4_096, description="Unfinished trajectories beyond those that proceed"
    )
    max_queued_per_owner: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="The same of one owner; half of ALPHA_UMI_MAX_QUEUED by default"
    )
    max_queue_s: Seconds = Field(default=60, description="Expected wait above which a standing queue takes no more")
    role_calls: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="Calls of each role at a time; by default what its engines run at once"
    )
    max_streams: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=4_096, description="Open streams of events; each takes up to 256 KiB of memory"
    )
    max_streams_per_owner: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="The same of one owner; half of ALPHA_UMI_MAX_STREAMS by default"
    )
    rate_requests: PerMinute = Field(default=None, description="Requests for work of each owner, a minute")
    rate_trajectories: PerMinute = Field(default=None, description="Trajectories and messages of each owner, a minute")
    rate_tokens: PerMinute = Field(default=None, description="Tokens that the roles use for each owner, a minute")
    repeated_after_outage: Literal["resume", "replay"] = Field(
        default="resume",
        description="Whether a request that is repeated under its idempotency key resumes a turn that failed because a "
        "role was unavailable, or returns the failure again",
    )
    failpoint: str | None = Field(
        default=None, pattern=r"^[a-z_.]+:[1-9][0-9]*$", description="For crash tests: NAME:N ends the process there"
    )
    log_format: LogFormat = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("api_keys", "allowed_tool_hosts", "secrets_key", *_ADDRESSES, mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("model_aliases", mode="before")
    @classmethod
    def _aliases(cls, value: Any) -> Any:
        """`alias=model` pairs, comma separated."""
        if not isinstance(value, str):
            return value
        pairs = [tuple(part.strip().partition("=")[::2]) for part in value.split(",") if part.strip()]
        return {alias.strip(): model.strip() for alias, model in pairs}

    @field_validator("model_aliases")
    @classmethod
    def _known_models(cls, aliases: Mapping[str, str], given: ValidationInfo) -> Mapping[str, str]:
        for alias, model in aliases.items():
            if not alias or alias in MODELS or model not in MODELS:
                raise ValueError(f"{alias}={model}: write ALIAS=MODEL, the model one of {', '.join(MODELS)}")
            if MODELS[model] == "single" and not given.data.get("backbone_url"):
                raise ValueError(f"{alias}={model}: there is no single model; set ALPHA_UMI_BACKBONE_URL, too")
        return aliases

    @field_validator(*_ADDRESSES)
    @classmethod
    def _distinct(cls, urls: tuple[HttpUrl, ...]) -> tuple[HttpUrl, ...]:
        if len(set(urls)) != len(urls):
            raise ValueError("an address is listed twice; name each replica once")
        return urls

    @field_validator("retention", mode="before")
    @classmethod
    def _period(cls, value: Any) -> Any:
        if isinstance(value, str) and value and (period := parse_duration(value)) is None:
            raise ValueError("write a number and m, h, d or w, such as 30d")
        return period if isinstance(value, str) and value else value or None

    @field_validator("retention_export")
    @classmethod
    def _folder(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_dir():
            raise ValueError("there is no such folder; create it, writable for this service alone")
        return path

    @field_validator(
        "role_token",
        "api_keys_file",
        "secrets_key_file",
        "max_tokens",
        "max_running",
        "max_queued_per_owner",
        "max_streams_per_owner",
        "role_calls",
        "rate_requests",
        "rate_trajectories",
        "rate_tokens",
        "retention_export",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value

    def limits(
        self,
        strategy: Strategy,
        *,
        max_steps: int | None = None,
        max_repeats: int | None = None,
        max_tokens: int | None = None,
        max_depth: int | None = None,
    ) -> Limits:
        """The limits of a trajectory: those of its request, and these settings for the others."""
        return Limits(
            max_steps=max_steps or (self.search_max_steps if strategy == "dfsdt" else self.max_steps),
            max_repeats=max_repeats or self.max_repeats,
            on_unreadable=self.on_parse_failure,
            max_tokens=max_tokens or self.max_tokens,
            max_depth=max_depth or self.search_depth,
            max_width=self.search_width,
        )

    def queue_limits(self) -> QueueLimits:
        """The limits of the queue of trajectories."""
        per_owner = self.max_queued // 2 if self.max_queued_per_owner is None else self.max_queued_per_owner
        return QueueLimits(self.max_queued, per_owner, self.max_queue_s)

    def stream_limits(self) -> dict[Literal["total", "per_owner"], int]:
        """The limits of open streams."""
        per_owner = max(1, self.max_streams // 2) if self.max_streams_per_owner is None else self.max_streams_per_owner
        return {"total": self.max_streams, "per_owner": per_owner}

    def rates(self) -> Rates:
        """The rates that have a limit, with nothing used."""
        limits: dict[RateKind, int | None] = {
            "requests": self.rate_requests,
            "trajectories": self.rate_trajectories,
            "tokens": self.rate_tokens,
        }
        return {kind: Rate(limit) for kind, limit in limits.items() if limit is not None}

    def running_bounds(self, capacities: Iterable[int | None]) -> Bounds:
        """The number of trajectories that proceed at a time, by the capacities of the roles; None is an unknown one."""
        if self.max_running is not None:
            return Bounds(self.max_running, self.max_running)
        known = [UNKNOWN_CAPACITY if capacity is None else (capacity, capacity) for capacity in capacities]
        low, high = min(known, default=UNKNOWN_CAPACITY)
        seconds = SHARE_OF_TIME * self.trajectory_timeout_s
        return Bounds(max(LEAST, low), max(LEAST, RUNNING_PER_CALL * high), seconds)

    def keyring(self) -> Keyring:
        """The API keys. Raises `KeyFileUnusable`."""
        return Keyring([key.get_secret_value() for key in self.api_keys], self.api_keys_file)

    def role_addresses(self) -> dict[Role, list[str]]:
        """The replicas' addresses, of every role that has any."""
        addresses: dict[Role, tuple[HttpUrl, ...]] = {role: getattr(self, f"{role}_url") for role in ROLES}
        return {role: [str(url) for url in urls] for role, urls in addresses.items() if urls}

    @property
    def role_bearer(self) -> str | None:
        """The token of the role services."""
        return None if self.role_token is None else self.role_token.get_secret_value()


def require_current_names(environ: Mapping[str, str]) -> None:
    """Raises `RenamedSetting` while the old name of a renamed variable is set: ignoring it would lose the setting."""
    # The names of variables are read without regard to case.
    values = {name.upper(): value for name, value in environ.items()}
    for old, new in RENAMED.items():
        if values.get(PREFIX + old):
            raise RenamedSetting(f"{PREFIX}{old} was renamed: set {PREFIX}{new} instead")


def explain(error: ValidationError) -> str:
    """One line that names each variable at fault. Values are not repeated: they may be secrets."""
    return "; ".join(f"{_variable(item['loc'])}: {item['msg']}" for item in error.errors())


def _variable(place: tuple[int | str, ...]) -> str:
    """The variable, and which part of its list."""
    name, *inside = place or ("settings",)
    position = f" (entry {inside[0] + 1})" if inside and isinstance(inside[0], int) else ""
    return f"{PREFIX}{str(name).upper()}{position}"
