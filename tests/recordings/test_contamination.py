from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from recordings.contamination import check_manifest, check_training, instruction_digest, overlapping
from recordings.errors import Contaminated, NotTheFormat
from recordings.suites.suite import suite_digests


def test_copies_are_recognised_through_case_and_white_space() -> None:
    assert instruction_digest("  What is\n\tthe DATE? ") == hashlib.sha256(b"what is the date?").hexdigest()
    assert instruction_digest("Straße") == instruction_digest("STRASSE")
    assert instruction_digest("what is the date") != instruction_digest("what is the date?")
    assert len(instruction_digest("\ud800")) == 64


def test_training_refuses_a_suite_and_names_the_instructions() -> None:
    cold, warm = instruction_digest("How cold is it?"), instruction_digest("How warm is it?")
    digests = frozenset({warm})
    check_training([cold], {"warmth": digests})
    with pytest.raises(Contaminated, match=f"1 training instructions are in the suite 'warmth': '{warm}'") as caught:
        check_training([cold, warm], {"cold": frozenset(), "warmth": digests})
    assert caught.value.digests == digests
    assert overlapping(["HOW warm is it?"] * 2, digests) == ("HOW warm is it?",)


def test_contamination_by_a_manifest_is_reported() -> None:
    known, other = instruction_digest("a"), instruction_digest("b")
    digests = frozenset({known, instruction_digest("c")})
    assert (
        check_manifest({"trained_on": [known, other]}, digests).sentence == "trained on 1 of the suite's 2 instructions"
    )
    assert check_manifest({"trained_on": [other]}, digests).verdict == "clean"
    assert check_manifest({"trained_on": []}, digests).verdict == "clean"
    assert check_manifest({"name": "m"}, digests).verdict == "unknown"


@pytest.mark.parametrize("trained_on", ["x", ["short"], [1], {"a": 1}])
def test_a_broken_list_is_not_taken_for_a_clean_one(trained_on: object) -> None:
    with pytest.raises(NotTheFormat, match="trained_on"):
        check_manifest({"trained_on": trained_on}, frozenset())


def test_a_suite_meets_itself(tmp_path: Path) -> None:
    """Without data: the recorded digests are enough."""
    digests = suite_digests("gsm8k", tmp_path)
    assert check_manifest({"trained_on": sorted(digests)[:3]}, digests).instructions == 3
