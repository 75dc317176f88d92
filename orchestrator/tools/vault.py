"""Credentials of stored tool sources: encrypted, or references to the environment of the orchestrator.

A credential that was sent over the API is stored encrypted (Fernet: AES-128-CBC with HMAC-SHA-256), so that a copy of
the database discloses none; without a key it is refused. Whoever may offer tools to all owners may refer to a variable
of this process instead, by a name of its own: `${ALPHA_UMI_TOOL_...}`. An owner may not, because the source could send
the operator's secret to a server of the owner's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from orchestrator.tools.errors import ToolSourceError
from orchestrator.tools.source import ToolSource
from orchestrator.tools.sources_file import variables_of, with_variables

PREFIX: Final = "ALPHA_UMI_TOOL_"
# The member of a stored document that holds the encrypted fields.
SEALED: Final = "sealed"
_NEW_KEY: Final = "make one with: openssl rand -base64 32 | tr '+/' '-_'"


class SecretsKeyUnusable(Exception):
    """The keys of the vault cannot be used. The message says what to do, and shows no key."""


class Vault:
    """Encrypts and decrypts with the keys of the operator. The first one encrypts, all decrypt; there may be none."""

    def __init__(
        self, keys: Sequence[str] = (), file: Path | None = None, *, environ: Mapping[str, str] = os.environ
    ) -> None:
        """`file` has a key on each line; `#` begins a comment. Raises `SecretsKeyUnusable`."""
        self._environ = environ
        try:
            self._fernets = [Fernet(key) for key in (*keys, *([] if file is None else _lines(file)))]
        except ValueError:
            reason = "a key of ALPHA_UMI_SECRETS_KEY or its file is not 32 bytes in URL-safe base64"
            raise SecretsKeyUnusable(f"{reason}; {_NEW_KEY}") from None
        if file is not None and not self._fernets:
            raise SecretsKeyUnusable(f"{file} holds no key; {_NEW_KEY}")

    def check(self, source: ToolSource) -> None:
        """Whether the credentials of a new source may be stored. Raises `ToolSourceError` that names the field."""
        for field, value in _secrets(source):
            names = variables_of(value)
            if names and not source.shared:
                raise ToolSourceError(
                    f"{names[0]} is a variable of the server, which only a shared source may refer to",
                    field=field,
                    remedy="send the credential itself",
                )
            if foreign := [name for name in names if not name.startswith(PREFIX)]:
                raise ToolSourceError(
                    f"the variable {foreign[0]} is none of tools",
                    field=field,
                    remedy=f"refer to one whose name begins with {PREFIX}",
                )
            if not names and not self._fernets:
                raise ToolSourceError(
                    "this server stores no credentials, because it has no key to encrypt them",
                    field=field,
                    remedy="ask its operator to set ALPHA_UMI_SECRETS_KEY, or to offer the source to all owners",
                )

    def record(self, source: ToolSource, owner: str) -> dict[str, Any]:
        """What to store of a source. Without a key it holds the credentials as they are."""
        record, secrets = source.record(), source.secrets()
        if not self._fernets or not secrets:
            return record
        clear = {field: record.pop(field) for field in secrets}
        # For this source alone: who can write to the database could else move it to a source with another server.
        content = {"owner": owner, "name": source.name, "secrets": clear}
        return record | {SEALED: self._fernets[0].encrypt(json.dumps(content).encode()).decode()}

    def renewed(self, source: ToolSource, owner: str, sealed: str | None) -> dict[str, Any] | None:
        """What to store instead of credentials that are in clear or encrypted with an older key; None if neither."""
        if not self._fernets or (sealed is None and not source.secrets()):
            return None
        if sealed is not None and (_opened(self._fernets[0], sealed) or not self._read(sealed)):
            return None
        return self.record(self.opened(source, owner, sealed), owner)

    def is_clear(self, source: ToolSource) -> bool:
        """Whether the credentials of a stored source are neither encrypted nor references."""
        return not self._fernets and any(not variables_of(value) for _, value in _secrets(source))

    def opened(self, source: ToolSource, owner: str, sealed: str | None) -> ToolSource:
        """The source with its credentials. Raises `ToolSourceError`."""
        if sealed is not None:
            content = self._read(sealed)
            if content is None or (content["owner"], content["name"]) != (owner, source.name):
                raise ToolSourceError(
                    "they were encrypted with another key, or for another source",
                    field="credentials",
                    remedy="add the key to ALPHA_UMI_SECRETS_KEY, or remove the source and register it again",
                )
            source = _with_secrets(source, content["secrets"])
        return source

    def expanded(self, source: ToolSource) -> ToolSource:
        """A shared source with the variables that its credentials refer to. Raises `ToolSourceError`."""
        allowed = {name: value for name, value in self._environ.items() if name.startswith(PREFIX)}
        return _with_secrets(
            source,
            {
                field: {
                    name: with_variables(value.get_secret_value(), f"{field}.{name}", allowed)
                    for name, value in values.items()
                }
                for field, values in source.secrets().items()
            },
        )

    def _read(self, sealed: str) -> dict[str, Any] | None:
        return _opened(MultiFernet(self._fernets), sealed) if self._fernets else None


def with_secrets_of(source: ToolSource, other: ToolSource) -> ToolSource:
    """The source with the credentials of another one."""
    return source.model_copy(update=other.secrets())


def _opened(fernet: Fernet | MultiFernet, sealed: str) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(fernet.decrypt(sealed))
    except InvalidToken:
        return None
    return content


def _with_secrets(source: ToolSource, secrets: Mapping[str, Mapping[str, str]]) -> ToolSource:
    return source.model_copy(
        update={field: {name: SecretStr(value) for name, value in values.items()} for field, values in secrets.items()}
    )


def _secrets(source: ToolSource) -> list[tuple[str, str]]:
    """The place and the value of each credential."""
    return [
        (f"{field}.{name}", value.get_secret_value())
        for field, values in source.secrets().items()
        for name, value in values.items()
    ]


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SecretsKeyUnusable(f"{file} (ALPHA_UMI_SECRETS_KEY_FILE) cannot be read: {error}") from error
    return [key for line in lines if (key := line.partition("#")[0].strip())]
