"""The steps of a stage: every example once an epoch, in batches of similar length, for any number of processes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.loop.batches import StepPlan, learning_rate, rounds
from training.recipes.model import StageSettings

LENGTHS = st.lists(st.integers(2, 300), min_size=1, max_size=200).map(tuple)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_has_every_example_once(lengths: tuple[int, ...], batch: int, seed: int) -> None:
    plan = StepPlan(lengths, batch, 2, seed)
    each = plan.steps() // 2
    for epoch in (0, 1):
        seen = [example for step in range(1, each + 1) for example in plan.examples(epoch * each + step)]
        assert sorted(seen) == list(range(len(lengths)))


def test_epochs_and_seeds_differ() -> None:
    lengths = tuple(range(2, 102))
    orders = {
        tuple(StepPlan(lengths, 5, 2, seed).examples(step) for step in range(first, first + 20))
        for seed in (0, 1)
        for first in (1, 21)
    }
    assert len(orders) == 4


@pytest.mark.parametrize(("epochs", "steps"), [(0.25, 5), (1.5, 30), (0.001, 1)])
def test_a_fraction_of_an_epoch_is_its_beginning(epochs: float, steps: int) -> None:
    plan = StepPlan(tuple(range(2, 102)), 5, epochs, 0)
    longer = replace(plan, epochs=2)
    assert plan.steps() == replace(plan, max_tokens=10**6).steps() == steps
    assert [plan.examples(step) for step in range(1, steps + 1)] == [
        longer.examples(step) for step in range(1, steps + 1)
    ]


def test_a_batch_holds_like_lengths() -> None:
    lengths = tuple(10 + 7919 * number % 1000 for number in range(320))
    plan = StepPlan(lengths, 8, 1, 0)
    padded = sum(8 * max(lengths[example] for example in plan.examples(step)) for step in range(1, 41))
    assert padded < 1.05 * sum(lengths)


ORIGINS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=120).map(tuple)


@given(ORIGINS, st.integers(2, 20), st.integers(1, 4), st.integers(0, 3))
def test_packs_mix_in_a_step_and_none_is_lost(
    origins: tuple[tuple[int, int], ...], batch: int, pack: int, seed: int
) -> None:
    plan = StepPlan((2,) * len(origins), batch, 2, seed, pack=pack, origins=origins)
    steps = [plan.examples(step) for step in range(1, plan.steps() + 1)]
    assert sorted(example for step in steps for example in step) == sorted([*range(len(origins))] * 2)
    assert all(len(step) <= batch for step in steps)
    assert steps == [replace(plan).examples(step) for step in range(1, plan.steps() + 1)]


def test_a_pack_has_trajectories_of_one_tool_set() -> None:
    origins = tuple((number % 10, number // 3) for number in range(600))
    plan = StepPlan((2,) * 600, 24, 1, 0, pack=4, origins=origins)
    steps = [plan.examples(step) for step in range(1, plan.steps() + 1)]
    tool_sets = [len({origins[example][0] for example in step}) for step in steps]
    assert 2 <= sum(tool_sets) / len(steps) < 8
    assert sum(map(len, steps)) / len(steps) > 20


@given(LENGTHS, st.integers(1, 9), st.integers(1, 40_000))
def test_tokens_can_be_bounded(lengths: tuple[int, ...], batch: int, limit: int) -> None:
    plan, unbounded = StepPlan(lengths, batch, 2, 0, limit), StepPlan(lengths, batch, 2, 0)
    steps = plan.steps()
    spent = sum(plan.tokens(step) for step in range(1, steps + 1))
    assert spent <= limit or steps == 1
    assert steps == unbounded.steps() or spent + plan.tokens(steps + 1) > limit


@given(LENGTHS, st.integers(1, 4), st.integers(64, 600))
def test_a_round_gives_everybody_something_or_nothing(lengths: tuple[int, ...], processes: int, limit: int) -> None:
    planned = rounds(range(len(lengths)), lengths, processes=processes, micro_tokens=limit)
    assert all(len(shares) == processes for shares in planned)
    micros = [micro for shares in planned for micro in shares]
    assert sorted(example for micro in micros for example in micro) == list(range(len(lengths)))
    for micro in micros:
        assert len(micro) <= 1 or len(micro) * max(lengths[example] for example in micro) <= limit


def rates(**changed: Any) -> list[float]:
    fields = {"learning_rate": 0.1, "epochs": 1, "batch": 1, "warmup": 0.4, **changed}
    settings = StageSettings.model_validate(fields)
    return [learning_rate(step, 10, settings) for step in range(1, 11)]


def test_warm_up_then_cosine() -> None:
    schedule = rates()
    assert schedule[:5] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])
    assert schedule[7] == pytest.approx(0.05)
    assert schedule[4:] == sorted(schedule[4:], reverse=True)
    assert 0 < schedule[-1] < 0.01


def test_linear_and_constant() -> None:
    assert rates(schedule="linear", warmup=0)[:3] == pytest.approx([0.1, 0.09, 0.08])
    assert rates(schedule="constant", warmup=0) == [0.1] * 10
