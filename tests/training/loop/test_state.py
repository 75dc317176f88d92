"""The state of a model: trained weights, each once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from training.loop.objective import TargetLoss
from training.loop.state import set_weights, weights_of


def tied() -> Any:
    """A model with tied embeddings, as SmolLM2."""
    config = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.mark.parametrize("lora", [True, False])
def test_trained_weights_are_included_once(lora: bool) -> None:
    model = get_peft_model(tied(), LoraConfig(r=2, target_modules="all-linear")) if lora else tied()
    weights = weights_of(TargetLoss(model))
    assert sum(tensor.numel() for tensor in weights.values()) == sum(
        parameter.numel() for parameter in model.parameters() if parameter.requires_grad
    )
    assert all("lora_" in name for name in weights) == lora


def test_state_can_be_restored() -> None:
    first, second = TargetLoss(tied()), TargetLoss(tied())
    set_weights(second, weights_of(first))
    assert all(torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True))
    assert second.model.lm_head.weight is second.model.model.embed_tokens.weight
