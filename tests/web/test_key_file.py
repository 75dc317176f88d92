"""The file of hashed keys: its format, the creation of keys, and refusals that name the line."""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from alpha_umi.web.key_file import ALL_SCOPES, KEY, Grant, KeyFileUnusable, create_key, new_key, read_key_file

DIGEST = "ab" * 32


def test_only_the_hash_of_a_key_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    made = create_key(file, "ci@example.org")
    assert KEY.fullmatch(made.text)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (
        file.read_text() == f"{made.entry.id} sha256:{hashlib.sha256(made.text.encode()).hexdigest()} ci@example.org\n"
    )
    assert made.text.rpartition("_")[2] not in file.read_text()
    assert read_key_file(file) == [made.entry]
    assert made.text not in repr(made)


def test_comments_and_what_was_there_stay(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# ours\n\n0123abcd sha256:{DIGEST}  # no name\n89abcdef\tsha256:{DIGEST} laptop")
    made = create_key(file)
    assert [(entry.id, entry.name) for entry in read_key_file(file)] == [
        ("0123abcd", ""),
        ("89abcdef", "laptop"),
        (made.entry.id, ""),
    ]


@pytest.mark.parametrize("name", ["", "laptop"])
@pytest.mark.parametrize(
    ("grant", "options"),
    [
        (Grant(), ""),
        (Grant("ann@example.org"), " owner=ann@example.org"),
        (Grant(scopes=ALL_SCOPES, expires=date(2027, 1, 31)), " scopes=use,tools,operate expires=2027-01-31"),
    ],
)
def test_what_a_line_grants(tmp_path: Path, name: str, grant: Grant, options: str) -> None:
    made = create_key(tmp_path / "keys", name, grant)
    assert (tmp_path / "keys").read_text().partition(made.entry.digest.hex())[2] == f" {name}".rstrip() + f"{options}\n"
    (entry,) = read_key_file(tmp_path / "keys")
    assert (entry, entry.owner) == (made.entry, grant.owner or made.entry.id)


@pytest.mark.parametrize("owner", ["two words", "a=b", "x" * 65])
def test_an_owner_that_a_line_cannot_hold(owner: str) -> None:
    with pytest.raises(ValueError, match=r"owner: .* is no name"):
        Grant(owner)


def test_keys_made_at_once_stand_on_lines_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: create_key(tmp_path / "keys"), range(40)))
    assert {key.entry.id for key in made} == {entry.id for entry in read_key_file(tmp_path / "keys")}
    assert len({key.text for key in made}) == 40


def test_an_id_is_not_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["0123abcd", "0123abcd", "89abcdef"])
    monkeypatch.setattr("secrets.token_hex", lambda count: next(drawn) if count == 4 else "0" * 2 * count)
    assert new_key(taken=["0123abcd"]).entry.id == "89abcdef"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("umi_0123abcd_secret", r"keys: line 1 is not `ID sha256:DIGEST \[NAME\] \[owner=OWNER\]"),
        (f"# x\n0123abcd sha256:{DIGEST[1:]}", "line 2 is not"),
        (f"0123abcd md5:{DIGEST}", "line 1 is not"),
        (f"0123abcd sha256:{DIGEST} two words", "line 1 is not"),
        (f"0123abcd sha256:{DIGEST} owner=", "line 1 is not"),
        (f"0123abcd sha256:{DIGEST} owner=a owner=b", "line 1 is not"),
        (f"0123abcd sha256:{DIGEST} scopes=use,root", "line 1 is not"),
        (f"0123abcd sha256:{DIGEST} scopes=", "line 1 is not"),
        (f"0123abcd sha256:{DIGEST} expires=2027-02-30", "line 1 is not"),
        (f"0123abcd sha256:{DIGEST} role=operator", "line 1 is not"),
        (f"0123abcd sha256:{DIGEST} owner=a name", "line 1 is not"),
        (f"0123abcd sha256:{DIGEST}\n0123abcd sha256:{DIGEST}", "line 2 has the id 0123abcd of an earlier line"),
        ("\0\xff", "line 1 is not"),
    ],
)
def test_a_bad_line_is_named_and_not_repeated(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "keys").write_text(content)
    with pytest.raises(KeyFileUnusable, match=message) as caught:
        read_key_file(tmp_path / "keys")
    assert "secret" not in str(caught.value)
    with pytest.raises(KeyFileUnusable):
        create_key(tmp_path / "keys")
    assert (tmp_path / "keys").read_text() == content


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    made = create_key(tmp_path / "keys")
    (tmp_path / "keys").chmod(mode)
    for use in (read_key_file, create_key):
        with pytest.raises(KeyFileUnusable, match=r"others can write to it, .*; chmod go-w"):
            use(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o644)
    assert read_key_file(tmp_path / "keys") == [made.entry]


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("#" * 2_000_000)
    with pytest.raises(KeyFileUnusable, match="larger than"):
        read_key_file(tmp_path / "keys")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyFileUnusable, match=r"missing: No such file .*; `alpha-umi keys create` makes"):
        read_key_file(tmp_path / "missing")
    with pytest.raises(KeyFileUnusable, match="Is a directory"):
        create_key(tmp_path)


@pytest.mark.timeout(10)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys", 0o600)
    with pytest.raises(KeyFileUnusable, match="not a file"):
        read_key_file(tmp_path / "keys")


@pytest.mark.parametrize("name", ["two words", "a#b", "x" * 65, "new\nline", "ä"])
def test_a_name_that_a_line_cannot_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name for a key"):
        create_key(tmp_path / "keys", name)
    assert (tmp_path / "keys").read_text() == ""
