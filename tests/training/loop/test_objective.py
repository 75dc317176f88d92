"""The loss is the model's own loss over the target tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from training.examples import IGNORED, Tokenized
from training.loop.objective import TargetLoss, collate, targets
from training.loop.trees import build_tree

LONG = Tokenized(tuple(range(5, 25)), (IGNORED,) * 12 + tuple(range(17, 25)))
SHORT = Tokenized((7, 8, 9, 10), (IGNORED, IGNORED, 9, 10))


def test_it_is_the_models_own_loss_without_padding(world_backbone: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(world_backbone, dtype=torch.float32).eval()
    loss = TargetLoss(model)
    with torch.no_grad():
        own = [
            model(torch.tensor([example.input_ids]), labels=torch.tensor([example.labels])).loss.item()
            for example in (LONG, SHORT)
        ]
        together = loss(*collate([build_tree([LONG]), build_tree([SHORT])], padded=True)).item()
    assert (targets(LONG), targets(SHORT)) == (8, 2)
    assert together == pytest.approx(8 * own[0] + 2 * own[1], rel=1e-5)


def test_nothing_to_compute_is_nought_with_gradients(world_backbone: Path) -> None:
    loss = TargetLoss(AutoModelForCausalLM.from_pretrained(world_backbone, dtype=torch.float32))
    nothing = loss(*collate([]))
    nothing.backward()
    assert nothing.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in loss.parameters())
