"""The fuzzers' targets on their seeds, on truncated and mutated seeds, and on random bytes."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.json_mutation import spoilt_json
from support.parser_seeds import SEEDS
from support.parser_targets import TARGETS, check

SPOILT = 200


def test_every_target_has_seeds() -> None:
    assert SEEDS.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_stands_its_seeds(name: str) -> None:
    for seed in SEEDS[name]:
        check(name, seed)
        for length in range(0, len(seed), max(1, len(seed) // 50)):
            check(name, seed[:length])


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_stands_spoilt_seeds(name: str) -> None:
    source = random.Random(name)
    for _ in range(SPOILT):
        check(name, spoilt(source.choice(SEEDS[name]), source))


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=200))
@settings(max_examples=50, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_target_stands_random_bytes(name: str, data: bytes) -> None:
    check(name, data)


def spoilt(seed: bytes, source: random.Random) -> bytes:
    """A seed of which a few pieces were lost, repeated, moved or overwritten."""
    if source.random() < 0.7 and (document := spoilt_json(seed, source)):
        return document
    data = bytearray(seed)
    for _ in range(source.randint(1, 4)):
        start = source.randrange(len(data) + 1)
        piece = data[start : start + source.randint(1, 30)]
        place = source.randrange(len(data) + 1)
        match source.randrange(3):
            case 0:
                del data[start : start + len(piece)]
            case 1:
                data[place:place] = piece
            case _:
                data[place : place + 1] = source.choice(
                    [b"-1", b"null", b"[]", b"{}", b"\x00", b"\xff", b"1e999", b'"']
                )
    return bytes(data)
