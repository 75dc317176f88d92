"""Tool sources: what an operator or a client of the API registers, and the file that lists an operator's.

`${NAME}` is expanded from the environment in that file's `headers` and `credentials` only. A source that came over
the API is never expanded: it could send any variable of this process to a server of its choice.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from orchestrator.tools.egress import parse_address
from orchestrator.tools.errors import DocumentError, RequestRefused, ToolSourceError
from orchestrator.tools.model import EffectClass

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Set by the way out itself.
_RESERVED_HEADERS = frozenset({
    "host", "connection", "content-length", "transfer-encoding", "accept-encoding", "content-type",
    "idempotency-key",
})  # fmt: skip


class ToolSource(BaseModel):
    """Where tools come from: an OpenAPI document, by address or as it is.

    With both, `document` is used and `url` is where it came from. `effect` is what methods other than GET, HEAD and
    OPTIONS may do. `headers` go with every call, `credentials` (by name of the document's security scheme) where an
    operation asks for them; basic authentication is written `user:password`. `operations` selects tools by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    kind: Literal["openapi"] = "openapi"
    url: Annotated[str, Field(max_length=2_048)] | None = None
    document: str | dict[str, Any] | None = Field(default=None, repr=False)
    base_url: Annotated[str, Field(max_length=2_048)] | None = None
    effect: EffectClass = EffectClass.UNKEYED_WRITE
    headers: Annotated[dict[str, SecretStr], Field(max_length=32)] = Field(default_factory=dict)
    credentials: Annotated[dict[str, SecretStr], Field(max_length=32)] = Field(default_factory=dict)
    operations: Annotated[list[str], Field(min_length=1, max_length=500)] | None = None

    @field_validator("url", "base_url")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        if address is not None:
            try:
                parse_address(address)
            except RequestRefused as error:
                raise ValueError(str(error)) from None
        return address

    @field_validator("headers", "credentials")
    @classmethod
    def _sendable(cls, secrets: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in secrets.items():
            if not (value.get_secret_value().isascii() and value.get_secret_value().isprintable()):
                raise ValueError(f"the value of {name!r} must be printable ASCII")
        return secrets

    @field_validator("headers")
    @classmethod
    def _header_names(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in headers:
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _RESERVED_HEADERS:
                raise ValueError(f"{name!r} is not a header that can be set here")
        return headers

    @model_validator(mode="after")
    def _has_document(self) -> Self:
        if self.url is None and self.document is None:
            raise ValueError("give `url` or `document`")
        return self

    def document_bytes(self) -> bytes | None:
        """The document as given, or None if it has to be fetched. Raises `DocumentError` for endless nesting."""
        if isinstance(self.document, dict):
            try:
                return json.dumps(self.document).encode()
            except RecursionError:
                raise DocumentError("the document nests too deeply", field="#", remedy="flatten it") from None
        return None if self.document is None else self.document.encode("utf-8", "replace")

    def record(self) -> dict[str, Any]:
        """A plain dict that `model_validate` reads back. It holds the secrets in clear: for the store alone."""
        revealed = {
            kind: {name: value.get_secret_value() for name, value in secrets.items()}
            for kind, secrets in (("headers", self.headers), ("credentials", self.credentials))
        }
        return self.model_dump(mode="json") | revealed


def load_sources_file(path: Path | str, *, environ: Mapping[str, str] | None = None) -> list[ToolSource]:
    """The tool sources that a YAML or JSON file lists under `sources`.

    `environ` stands in for the process's environment. Raises `ToolSourceError` that names the entry and field, and
    never shows a value of `headers` or `credentials`.
    """
    path = Path(path)
    entries = _entries(path)
    variables = os.environ if environ is None else environ
    sources = [_source(entry, f"sources.{index}", variables) for index, entry in enumerate(entries)]
    names = [source.name for source in sources]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ToolSourceError(
                f"two sources are called {name!r}", field=f"sources.{index}.name", remedy="rename one"
            )
    return sources


def _entries(path: Path) -> list[Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise _bad_file(path, f"is larger than {MAX_FILE_BYTES} bytes")
        content = yaml.safe_load(raw)
    except OSError as error:
        raise _bad_file(path, f"cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = f" (line {mark.line + 1})" if (mark := getattr(error, "problem_mark", None)) else ""
        raise _bad_file(path, f"is neither YAML nor JSON{line}") from error
    entries = content.get("sources") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise _bad_file(path, "has no list `sources`")
    return entries


def _source(entry: Any, field: str, environ: Mapping[str, str]) -> ToolSource:
    if not isinstance(entry, dict):
        raise ToolSourceError("this is not an object", field=field, remedy="give it `name`, `kind` and `url`")
    expanded = {
        key: _expanded(value, f"{field}.{key}", environ) if key in ("headers", "credentials") else value
        for key, value in entry.items()
    }
    try:
        return ToolSource.model_validate(expanded)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join([field, *(str(part) for part in first["loc"])])
        raise ToolSourceError(first["msg"], field=where, remedy="correct the file") from None


def _expanded(secrets: Any, field: str, environ: Mapping[str, str]) -> Any:
    if not isinstance(secrets, dict):
        return secrets
    return {
        name: _with_variables(value, f"{field}.{name}", environ) if isinstance(value, str) else value
        for name, value in secrets.items()
    }


def _with_variables(text: str, field: str, environ: Mapping[str, str]) -> str:
    for name in _VARIABLE.findall(text):
        if name not in environ:
            raise ToolSourceError(f"the variable {name} is not set", field=field, remedy="set it in the environment")
    return _VARIABLE.sub(lambda found: environ[found[1]], text)


def _bad_file(path: Path, problem: str) -> ToolSourceError:
    return ToolSourceError(f"{path} {problem}", field="sources", remedy="see the example of a sources file")
