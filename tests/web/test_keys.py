"""Keyrings: the owner of a key, keys that change while the service runs, and the bind that needs one."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from structlog.testing import capture_logs

from alpha_umi.web.key_file import USER_SCOPES, Grant, KeyFileUnusable, create_key, new_key
from alpha_umi.web.keys import ALL_SCOPES, RECHECK_S, Keyring, OpenBindRefused, Principal, StrongSecret, check_bind


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def key_id(keys: Keyring, key: str) -> str | None:
    principal = keys.principal(key)
    return None if principal is None else principal.key_id


def test_the_owner_of_a_key(tmp_path: Path) -> None:
    ours, filed = new_key(), create_key(tmp_path / "keys")
    keys = Keyring([ours.text, "a word", "another"], tmp_path / "keys")
    assert len(keys) == 4
    assert key_id(keys, ours.text) == ours.entry.id
    assert key_id(keys, filed.text) == filed.entry.id
    words = {key_id(keys, "a word"), key_id(keys, "another")}
    assert len(words) == 2
    assert all(owner and owner.startswith("plain-") and "word" not in owner for owner in words)
    for wrong in ("", "a wor", "a word ", ours.text[:-1], ours.text.upper(), filed.entry.line, "\udcff"):
        assert key_id(keys, wrong) is None


def test_what_a_key_gives(tmp_path: Path) -> None:
    operator, second, plain = new_key(), new_key(), create_key(tmp_path / "keys")
    ann = create_key(tmp_path / "keys", "laptop", Grant("ann", frozenset(("use",))))
    keys = Keyring([operator.text, second.text], tmp_path / "keys")
    assert keys.principal(operator.text) == Principal(operator.entry.id, "default", ALL_SCOPES)
    assert keys.principal(second.text) == Principal(second.entry.id, second.entry.id, USER_SCOPES)
    assert keys.principal(plain.text) == Principal(plain.entry.id, plain.entry.id, USER_SCOPES)
    assert keys.principal(ann.text) == Principal(ann.entry.id, "ann", frozenset(("use",)))


def test_a_key_is_refused_from_the_day_on_which_it_expires(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    over = create_key(tmp_path / "keys", grant=Grant(expires=today))
    good = create_key(tmp_path / "keys", grant=Grant(expires=today + timedelta(days=2)))
    keys = Keyring((), tmp_path / "keys")
    assert (key_id(keys, over.text), key_id(keys, good.text)) == (None, good.entry.id)


def test_a_removed_line_revokes_its_key(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys"
    first, second = create_key(file), create_key(file)
    keys = Keyring((), file, clock=clock)
    file.write_text(second.entry.line)
    clock.now += RECHECK_S / 2
    assert key_id(keys, first.text) == first.entry.id, "the file is not looked at for each request"
    clock.now += RECHECK_S / 2
    assert (key_id(keys, first.text), key_id(keys, second.text)) == (None, second.entry.id)


def test_a_new_key_works_without_a_restart(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys"
    create_key(file)
    keys = Keyring((), file, clock=clock)
    made = create_key(file)
    clock.now += RECHECK_S
    assert key_id(keys, made.text) == made.entry.id


@pytest.mark.parametrize("how", ["emptied", "removed"])
def test_an_empty_file_admits_no_request(tmp_path: Path, clock: Clock, how: str) -> None:
    file = tmp_path / "keys"
    made = create_key(file)
    keys = Keyring((), file, clock=clock)
    file.write_text("") if how == "emptied" else file.unlink()
    clock.now += RECHECK_S
    assert (key_id(keys, made.text), len(keys), keys.required) == (None, 0, True)


@pytest.mark.parametrize("how", ["a bad line", "writable by others"])
def test_a_file_that_became_unusable_changes_nothing_and_is_logged(tmp_path: Path, clock: Clock, how: str) -> None:
    file = tmp_path / "keys"
    made = create_key(file)
    keys = Keyring((), file, clock=clock)
    if how == "a bad line":
        file.write_text("umi_0123abcd_oops")
    else:
        added = create_key(file)
        file.chmod(0o666)
    clock.now += RECHECK_S
    with capture_logs() as logs:
        assert key_id(keys, made.text) == made.entry.id
        assert how == "a bad line" or key_id(keys, added.text) is None
        clock.now += RECHECK_S
        assert key_id(keys, made.text) == made.entry.id
    (line,) = logs
    assert (line["event"], line["in_force"]) == ("keys.unusable", 1)
    assert "oops" not in str(line)


def test_an_unusable_file_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(KeyFileUnusable):
        Keyring((), tmp_path / "missing")


def test_a_key_does_not_take_longer_to_compare_when_it_is_nearly_right(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    from alpha_umi.web import keys as module

    original = module.hmac.compare_digest
    monkeypatch.setattr(module.hmac, "compare_digest", lambda a, b: compared.append(len(a)) or original(a, b))
    ring = Keyring(["one", "two", "three"])
    for shown in ("one", "three", "x", ""):
        ring.principal(shown)
    assert compared == [32] * 12, "each request compares a digest with each key"


def test_either_setting_allows_a_bind_beyond_loopback(tmp_path: Path) -> None:
    create_key(tmp_path / "keys")
    check_bind("0.0.0.0", Keyring(["one"]), variable="X")
    check_bind("0.0.0.0", Keyring((), tmp_path / "keys"), variable="X")
    with pytest.raises(OpenBindRefused):
        check_bind("0.0.0.0", Keyring(), variable="X")


@pytest.mark.parametrize(
    "weak",
    [
        "",
        "changeme",
        "a" * 64,
        "ab" * 32,
        "changeme" * 4,
        "my-secret-key-for-prod",
        "0123456789abcdef" * 2,
        "abcdefghijklmnopqrstuvwxyz0123456789",
        "123456789012345678901234567890",
        "f3" * 40,
        "1f3870be274f6c49b3e31a0c6728a5",
        "9f86d081884c7d659a2feaa0c55ad01",
        "deadbeef" * 8,
        "vWp3xK9sQ2mZ7tRcYhLa",
    ],
)
def test_a_key_of_less_than_128_bits_is_refused(weak: str) -> None:
    with pytest.raises(ValidationError, match="128 random bits: make one with `alpha-umi keys create`"):
        TypeAdapter(StrongSecret).validate_python(weak)


@pytest.mark.parametrize(
    "strong",
    [
        "umi_0a1b2c3d_5f1d7a84db00d2fce00b31a7fc73224fe9c7f0b0a1d3e5f7",
        "9f86d081884c7d659a2feaa0c55ad015",
        "290D8A46E6C6F3B8EF20695DD6513C738FB758908B88E279DAF1CB05A182B03C",
        "T9Qwa0c7SvJ2pL9fbFBt6w",
        "4A185ADE-D6C7-488C-8E48-FC76DD5E0CCA",
        "ZLQB2JHR45LPW7WDE67426CJ3U",
    ],
)
def test_what_tools_generate_is_accepted(strong: str) -> None:
    TypeAdapter(StrongSecret).validate_python(strong)


def test_no_random_key_of_128_bits_is_refused() -> None:
    check = TypeAdapter(StrongSecret).validate_python
    for seed in range(5_000):
        raw = random.Random(seed).randbytes(16)
        check(raw.hex())
        check(base64.urlsafe_b64encode(raw).decode().rstrip("="))
        with pytest.raises(ValidationError):
            check(raw.hex()[1:])


def test_a_changed_mode_is_a_change(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys"
    create_key(file)
    keys = Keyring((), file, clock=clock)
    file.chmod(0o666)
    clock.now += RECHECK_S
    with capture_logs() as logs:
        key_id(keys, "x")
    assert [line["event"] for line in logs] == ["keys.unusable"]
