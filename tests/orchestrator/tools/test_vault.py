"""Credentials of stored sources: encrypted, referred to, renewed, and refused without a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from orchestrator.tools.errors import ToolSourceError
from orchestrator.tools.openapi.provider import OpenApiSource
from orchestrator.tools.vault import SEALED, SecretsKeyUnusable, Vault

CANARY = "canary-7d31c0de"
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def source(value: str = CANARY, **more: Any) -> OpenApiSource:
    given = {"name": "a", "url": "http://a.example", "headers": {"X-Key": value}, "credentials": {"key": value}}
    return OpenApiSource.model_validate(given | more)


def stored(vault: Vault, of: OpenApiSource, owner: str = "ann") -> tuple[OpenApiSource, str | None]:
    """The source as it is read from its row, and its encrypted credentials."""
    record = json.loads(json.dumps(vault.record(of, owner)))
    sealed = record.pop(SEALED, None)
    return OpenApiSource.model_validate(record), sealed


def test_credentials_are_stored_encrypted() -> None:
    vault = Vault([NEW])
    vault.check(source())
    row, sealed = stored(vault, source())
    assert sealed is not None
    assert CANARY not in row.model_dump_json() + str(row.record()) + sealed
    assert vault.opened(row, "ann", sealed) == source()


def test_a_source_without_credentials_needs_no_key() -> None:
    plain = source(headers={}, credentials={})
    Vault().check(plain)
    for vault in (Vault(), Vault([NEW])):
        assert stored(vault, plain) == (plain, None)


@pytest.mark.parametrize("field", ["headers", "credentials"])
def test_without_a_key_no_credential_is_taken(field: str) -> None:
    (other,) = {"headers", "credentials"} - {field}
    with pytest.raises(ToolSourceError, match="ALPHA_UMI_SECRETS_KEY") as caught:
        Vault().check(source(**dict[str, Any]({other: {}})))
    assert caught.value.field.startswith(f"{field}.")
    assert CANARY not in str(caught.value)


def test_a_row_is_worth_nothing_to_another_source() -> None:
    vault = Vault([NEW])
    row, sealed = stored(vault, source())
    for other, owner in ((row, "bob"), (row.model_copy(update={"name": "b"}), "ann")):
        with pytest.raises(ToolSourceError, match="for another source"):
            vault.opened(other, owner, sealed)


@pytest.mark.parametrize("vault", [Vault(), Vault([OLD])])
def test_without_its_key_a_source_is_not_loaded(vault: Vault) -> None:
    row, sealed = stored(Vault([NEW]), source())
    with pytest.raises(ToolSourceError, match="add the key to ALPHA_UMI_SECRETS_KEY"):
        vault.opened(row, "ann", sealed)
    assert vault.renewed(row, "ann", sealed) is None


def test_keys_rotate() -> None:
    row, sealed = stored(Vault([OLD]), source())
    both = Vault([NEW, OLD])
    renewed = both.renewed(row, "ann", sealed)
    assert renewed is not None
    assert Vault([NEW]).opened(row, "ann", renewed[SEALED]) == source()
    assert both.renewed(row, "ann", renewed[SEALED]) is None


def test_credentials_in_clear_are_encrypted_once_there_is_a_key() -> None:
    row, sealed = stored(Vault(), source())
    assert (row, sealed) == (source(), None)
    assert Vault().renewed(row, "ann", sealed) is None
    assert Vault().is_clear(row)
    renewed = Vault([NEW]).renewed(row, "ann", sealed)
    assert renewed is not None
    assert CANARY not in str(renewed)
    assert not Vault([NEW]).is_clear(row)


def test_a_shared_source_may_refer_to_variables_of_tools() -> None:
    referring = source("Bearer ${ALPHA_UMI_TOOL_KEY}", shared=True)
    vault = Vault(environ={"ALPHA_UMI_TOOL_KEY": CANARY, "ALPHA_UMI_ROLE_TOKEN": "x"})
    vault.check(referring)
    row, sealed = stored(vault, referring)
    assert (sealed, row.headers["X-Key"].get_secret_value()) == (None, "Bearer ${ALPHA_UMI_TOOL_KEY}")
    assert vault.expanded(row).secrets()["headers"]["X-Key"].get_secret_value() == f"Bearer {CANARY}"
    assert not vault.is_clear(row)


@pytest.mark.parametrize("key", [[], [NEW]])
@pytest.mark.parametrize(
    ("value", "shared", "says"),
    [
        ("${ALPHA_UMI_TOOL_KEY}", False, "only a shared source"),
        ("${ALPHA_UMI_ROLE_TOKEN}", False, "only a shared source"),
        ("${ALPHA_UMI_ROLE_TOKEN}", True, "begins with ALPHA_UMI_TOOL_"),
        ("${PATH} ${ALPHA_UMI_TOOL_KEY}", True, "begins with ALPHA_UMI_TOOL_"),
    ],
)
def test_no_other_variable_is_read(key: list[str], value: str, shared: bool, says: str) -> None:
    environ = {"ALPHA_UMI_TOOL_KEY": CANARY, "ALPHA_UMI_ROLE_TOKEN": CANARY, "PATH": CANARY}
    with pytest.raises(ToolSourceError, match=says) as caught:
        Vault(key, environ=environ).check(source(value, shared=shared))
    assert CANARY not in str(caught.value)


def test_a_variable_that_is_gone_or_not_allowed_is_named() -> None:
    vault = Vault(environ={"ALPHA_UMI_ROLE_TOKEN": CANARY})
    for name in ("ALPHA_UMI_TOOL_KEY", "ALPHA_UMI_ROLE_TOKEN"):
        with pytest.raises(ToolSourceError, match=f"{name} is not set"):
            vault.expanded(source(f"${{{name}}}"))


def test_keys_of_a_file_come_after_the_others(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# the old one\n{OLD}  # until March\n\n")
    row, sealed = stored(Vault(file=Path(file)), source())
    assert Vault([NEW], file).renewed(row, "ann", sealed) is not None


@pytest.mark.parametrize("content", ["", "# none\n", "too-short\n", "é" * 44])
def test_unusable_keys_are_named_and_not_shown(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(SecretsKeyUnusable, match="openssl rand") as caught:
        Vault(file=file)
    assert "too-short" not in str(caught.value)
    with pytest.raises(SecretsKeyUnusable, match="cannot be read"):
        Vault(file=tmp_path / "none")
