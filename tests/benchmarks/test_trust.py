"""The short form of `make trust`: the same faults with fewer of everything, and with patience for a busy machine."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.trust.checks import CHECKS
from benchmarks.trust.encodings import answers, shows
from benchmarks.trust.named_tests import failure
from benchmarks.trust.table import Check, Form, Outcome, carry_out, chosen, markdown

SHORT = Form(short=True, patience=10)


@pytest.mark.slow
@pytest.mark.parametrize("check", chosen(CHECKS, names=[], form=SHORT), ids=lambda check: check.name)
def test_the_goal_is_reached(check: Check) -> None:
    outcome = asyncio.run(carry_out(check, SHORT)).outcome
    if outcome.passed is None:
        pytest.skip(outcome.figure)
    assert outcome.passed, outcome.figure


def test_names_and_goals_are_there_once() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.fault and check.goal for check in CHECKS)
    with pytest.raises(ValueError, match="no check is named nothing"):
        chosen(CHECKS, names=["nothing"], form=SHORT)


async def test_a_check_that_raises_has_failed() -> None:
    async def run(form: Form) -> Outcome:
        raise RuntimeError("no | port")

    line = await carry_out(Check("broken", "a fault", "a goal", run), SHORT)
    assert line.outcome == Outcome("RuntimeError: no | port", False)
    assert "| a fault | RuntimeError: no \\| port | a goal | FAIL | `broken` |" in markdown([line])


def test_only_the_failure_of_a_test_shows_a_planted_bug() -> None:
    lines = ">       assert before == after", "E       assert 1 == 2", "/x.py:3: AssertionError", "1 failed in 0.1s"
    assert failure("\n".join(lines)) == "\n".join(lines[:2])
    assert failure("E   ImportError: no\nERROR tests/x.py\n1 error in 0.1s") == ""
    assert failure("E   OSError: in use\n1 failed, 1 error in 0.1s") == ""


def test_the_encodings_are_recognized() -> None:
    assert len(answers()) >= 200
    for name, _, _, body in answers():
        assert shows(body("k/9+canary~4="), "k/9+canary~4="), name
        assert not shows(body("k/9+another~4="), "k/9+canary~4="), name
