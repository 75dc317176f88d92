"""`alpha-umi keys`: a key is shown once, and its hash is in the file."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from alpha_umi.web.key_file import KEY, USER_SCOPES
from alpha_umi.web.keys import Keyring, Principal

Invoke = Callable[..., Result]


def test_a_key_goes_to_standard_output_alone_and_its_hash_into_the_file(invoke: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    made = invoke("keys", "create", "--name", "ci", "--file", str(file))
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert KEY.fullmatch(key)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text() + made.stderr
    key_id = key.split("_")[1]
    assert Keyring((), file).principal(key) == Principal(key_id, key_id, USER_SCOPES)
    listed = invoke("keys", "list", "--file", str(file))
    assert listed.stdout.splitlines()[1].split() == [key_id, "ci", key_id, "use,tools"]


def test_owner_scopes_and_expiry(invoke: Invoke, tmp_path: Path) -> None:
    options = ("--owner", "ann", "--scope", "operate", "--scope", "use", "--expires", "2020-01-31")
    made = invoke("keys", "create", "--file", str(tmp_path / "keys"), *options)
    assert made.exit_code == 0
    listed = invoke("keys", "list", "--file", str(tmp_path / "keys"))
    assert listed.stdout.splitlines()[1].split()[1:] == ["ann", "use,operate", "2020-01-31", "(expired)"]
    assert Keyring((), tmp_path / "keys").principal(made.stdout.strip()) is None


def test_without_a_file_the_line_is_printed(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALPHA_UMI_API_KEYS_FILE", raising=False)
    made = invoke("keys", "create")
    line = made.stderr.splitlines()[-1]
    (tmp_path / "keys").write_text(line)
    assert Keyring((), tmp_path / "keys").principal(made.stdout.strip())
    refused = invoke("keys", "list")
    assert (refused.exit_code, "--file or ALPHA_UMI_API_KEYS_FILE" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("content", "mode", "options", "message"),
    [
        ("nonsense", 0o600, (), "line 1 is not"),
        ("", 0o666, (), "others can write"),
        ("", 0o600, ("--name", "two words"), "--name: "),
        ("", 0o600, ("--owner", "two words"), "--owner: "),
        ("", 0o600, ("--scope", "root"), "--scope"),
        ("", 0o600, ("--expires", "tomorrow"), "YYYY-MM-DD"),
    ],
)
def test_the_error_names_the_problem(
    invoke: Invoke, tmp_path: Path, content: str, mode: int, options: tuple[str, ...], message: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    file.chmod(mode)
    refused = invoke("keys", "create", "--file", str(file), *options)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert message in " ".join(refused.stderr.split())
    assert file.read_text() == content
