"""Settings of a role service, from the environment (prefix `ALPHA_UMI_ROLE_`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AnyHttpUrl, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from alpha_umi.roles.template import PlannerLabel, chat_template_names, load_any_template
from alpha_umi.roles.turns import Role
from alpha_umi.serving.processor import Dtype
from alpha_umi.telemetry import LogFormat
from alpha_umi.web.keys import StrongSecret

PORTS = {"planner": 8001, "caller": 8002, "summarizer": 8003, "backbone": 8004, "shared": 8001}
# Enough for nearly all published turns of each role; a request can set its own bound.
MAX_TOKENS = {"planner": 256, "caller": 512, "summarizer": 512, "backbone": 512}


class UnusableSettings(Exception):
    """A required setting is missing. The message names it."""


def _known(template: str) -> str:
    load_any_template(template)
    return template


class RoleSettings(BaseSettings):
    """Address, model and engine of a role service."""

    model_config = SettingsConfigDict(env_prefix="ALPHA_UMI_ROLE_", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    token: StrongSecret | None = Field(default=None, description="Bearer token that the orchestrator must show")
    model: Path | str | None = Field(
        default=None, description="Model folder, or hub id `org/name@revision`; the embedded default when unset"
    )
    adapters: Path | str | None = Field(
        default=None, description="Folder or hub id with an adapter for each role of a shared engine"
    )
    template: Annotated[str, AfterValidator(_known)] | None = Field(
        default=None,
        description="Template; that of the model's manifest when unset. `chat`: any instruct model, without a manifest",
    )
    thinking: Literal["drop", "rationale"] = Field(
        default="drop", description="What a reasoning model thinks: left out, or the planner's rationale"
    )
    planner_label: PlannerLabel = "assistant"
    max_tokens: Annotated[int, Field(ge=1, le=4_096)] | None = None
    engine: Literal["vllm", "remote", "scripted"] = "vllm"
    script: Path | None = None
    remote_api: Literal["completions", "chat"] = Field(
        default="completions", description="Interface of that server: completions of token ids, or chat completions"
    )
    remote_url: AnyHttpUrl | None = Field(default=None, description="Base address of an OpenAI-compatible server")
    remote_model: str | None = Field(default=None, description="The role's model (or adapter) on that server")
    remote_key: SecretStr | None = Field(default=None, description="Bearer key of that server")
    remote_extensions: bool = Field(
        default=True, description="Constrain outputs; completions need vLLM's extensions for that"
    )
    dtype: Dtype = "auto"
    max_model_len: Annotated[int, Field(ge=256)] | None = None
    kv_cache_gib: Annotated[float, Field(gt=0)] = 1.0
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.9
    threads: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Threads that compute on a CPU; when unset, so many that other engines fit beside"
    )
    speculation: Literal["auto", "ngram", "off"] = Field(
        default="auto", description="Prompt lookup; auto uses it on a CPU without adapters"
    )
    cache: Path | None = Field(default=None, description="Cache folder for converted weights")
    models_dir: Path = Field(default=Path("models"), description="Role models that ship with the project")
    log_format: LogFormat = "json"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    def answer_tokens(self, role: Role) -> int:
        """The default bound of a generation, in tokens."""
        return self.max_tokens or MAX_TOKENS[role]

    @field_validator("remote_url")
    @classmethod
    def _without_credentials(cls, url: AnyHttpUrl | None) -> AnyHttpUrl | None:
        # Errors and logs contain addresses.
        if url is not None and (url.username or url.password):
            raise ValueError("must not hold credentials; put the key into ALPHA_UMI_ROLE_REMOTE_KEY")
        if url is not None and (url.query is not None or url.fragment is not None):
            raise ValueError("must end with the path of the API, without `?` and `#`")
        return url

    @field_validator("remote_key")
    @classmethod
    def _fits_header(cls, key: SecretStr | None) -> SecretStr | None:
        # The error of an HTTP library would quote it.
        if key is not None and re.fullmatch(r"[!-~]+", key.get_secret_value()) is None:
            raise ValueError("must be ASCII without spaces and line breaks, as a header can hold it")
        return key

    @property
    def is_chat(self) -> bool:
        """Whether models are served as they are."""
        return self.template in chat_template_names()

    @property
    def runs_model(self) -> bool:
        """Whether this process runs the model, and not a server elsewhere."""
        return self.engine != "remote"

    @property
    def is_chat_server(self) -> bool:
        """Whether a chat server has the model, so that nothing of it is needed here."""
        return self.engine == "remote" and self.remote_api == "chat"

    @field_validator(
        "token", "model", "adapters", "template", "remote_url", "remote_model", "remote_key", mode="before"
    )
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        """An empty token would admit requests with an empty one; compose and scripts set the others to nothing."""
        return None if value == "" else value


def faults(error: ValidationError) -> str:
    """The invalid settings, by the names of their variables, in one line."""
    return "; ".join(
        f"ALPHA_UMI_ROLE_{'_'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
        for item in error.errors()
    )
