"""The loss of role examples: cross entropy over target tokens, with logits for these tokens only.

The vocabulary is about a hundred times as wide as a hidden state, so that logits of prompts would need most of the
memory. Examples are padded on the right, where causal attention does not see the padding, so that no mask is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.examples import IGNORED, Tokenized

# The input of a process without an example in a round: two tokens, no target.
_NOTHING = Tokenized((0, 0), (IGNORED, IGNORED))


class TargetLoss(nn.Module):  # type: ignore[misc]  # torch has no types here
    """A causal language model as a function of token ids and labels: the sum of the target tokens' losses (nats)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, labels: Tensor) -> Tensor:
        """Both have the shape [examples, tokens]. A label is the token at its own position."""
        causal = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        hidden = causal.get_decoder()(input_ids=input_ids, use_cache=False).last_hidden_state
        shifted = labels[:, 1:]
        is_target = shifted != IGNORED
        logits = causal.get_output_embeddings()(hidden[:, :-1][is_target])
        return functional.cross_entropy(logits.float(), shifted[is_target], reduction="sum")


def collate(examples: Sequence[Tokenized]) -> tuple[Tensor, Tensor]:
    """Token ids and labels of examples, padded on the right; without examples a pair without targets."""
    chosen = examples or (_NOTHING,)
    longest = max(len(example.input_ids) for example in chosen)
    ids = torch.zeros(len(chosen), longest, dtype=torch.long)
    labels = torch.full((len(chosen), longest), IGNORED, dtype=torch.long)
    for row, example in enumerate(chosen):
        ids[row, : len(example.input_ids)] = torch.tensor(example.input_ids)
        labels[row, : len(example.labels)] = torch.tensor(example.labels)
    return ids, labels


def targets(example: Tokenized) -> int:
    """The number of target tokens."""
    return sum(label != IGNORED for label in example.labels[1:])
