"""The learning rate over the steps of a stage."""

from __future__ import annotations

from typing import Any

import pytest

from training.loop.schedule import learning_rate
from training.recipes.model import StageSettings


def rates(**changed: Any) -> list[float]:
    whole = {"learning_rate": 0.1, "epochs": 1, "batch": 1, "warmup": 0.4, **changed}
    settings = StageSettings.model_validate(whole)
    return [learning_rate(step, 10, settings) for step in range(1, 11)]


def test_warm_up_then_cosine() -> None:
    found = rates()
    assert found[:5] == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])
    assert found[7] == pytest.approx(0.05)
    assert found[4:] == sorted(found[4:], reverse=True)
    assert 0 < found[-1] < 0.01


def test_linear_and_constant() -> None:
    assert rates(schedule="linear", warmup=0)[:3] == pytest.approx([0.1, 0.09, 0.08])
    assert rates(schedule="constant", warmup=0) == [0.1] * 10
