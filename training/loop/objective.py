"""The loss of role examples: cross entropy over target tokens, with logits for these tokens only.

The vocabulary is about a hundred times as wide as a hidden state, so that logits of prompts would need most of the
memory. Trees of examples are one sequence, without padding. Single examples are padded on the right, where causal
attention does not see the padding, so that no mask is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.examples import IGNORED, Tokenized
from training.loop.attention import FLEX_BLOCK, tree_mask
from training.loop.trees import Tree

# The input of a process without an example in a round: two tokens, no target.
_NOTHING = Tree((0, 0), (0, 1), (2, 2), ())


class Batch(NamedTuple):
    """The input of `TargetLoss`.

    `ids` has the shape [sequences, tokens]. `positions` and `ends` (`trees.py`) are those of the one sequence of trees,
    with the shape [tokens], else None. `sources` are the indices, among all tokens, of the tokens that predict
    `answers`; `weights` count the examples that have such a target.
    """

    ids: Tensor
    positions: Tensor | None
    ends: Tensor | None
    sources: Tensor
    answers: Tensor
    weights: Tensor


class TargetLoss(nn.Module):  # type: ignore[misc]  # torch has no types here
    """A causal language model as a function of a `Batch`: the sum of the target tokens' losses (nats)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        ids: Tensor,
        positions: Tensor | None,
        ends: Tensor | None,
        sources: Tensor,
        answers: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """The fields of a `Batch`."""
        causal = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        decoder = causal.get_decoder()
        tree: dict[str, Any] = {}
        if positions is not None and ends is not None:
            mask = tree_mask(ends, decoder.config._attn_implementation)
            tree = {"position_ids": positions[None], "attention_mask": mask}
        hidden = decoder(input_ids=ids, use_cache=False, **tree).last_hidden_state
        logits = causal.get_output_embeddings()(hidden.flatten(0, 1)[sources])
        losses = functional.cross_entropy(logits.float(), answers, reduction="none")
        return (losses * weights).sum()


def collate(trees: Sequence[Tree], *, padded: bool = False) -> Batch:
    """Trees as one sequence, or single examples `padded` on the right; without any, a batch without targets."""
    chosen = trees or (_NOTHING,)
    if not padded and (len(chosen) > 1 or chosen[0].branches):
        return _forest(chosen)
    longest = max(len(tree.ids) for tree in chosen)
    ids = torch.zeros(len(chosen), longest, dtype=torch.long)
    for row, tree in enumerate(chosen):
        ids[row, : len(tree.ids)] = torch.tensor(tree.ids)
    return _batch(ids, None, None, chosen, [row * longest for row in range(len(chosen))])


def _forest(trees: Sequence[Tree]) -> Batch:
    starts = [0]
    for tree in trees:
        starts.append(starts[-1] + len(tree.ids))
    # What is added at the end sees itself only.
    added = range(starts[-1], -(-starts[-1] // FLEX_BLOCK) * FLEX_BLOCK)
    ids = [token for tree in trees for token in tree.ids] + [0] * len(added)
    positions = [place for tree in trees for place in tree.positions] + [0] * len(added)
    ends = [start + end for start, tree in zip(starts, trees, strict=False) for end in tree.ends]
    ends += [index + 1 for index in added]
    return _batch(torch.tensor([ids]), torch.tensor(positions), torch.tensor(ends), trees, starts)


def _batch(
    ids: Tensor, positions: Tensor | None, ends: Tensor | None, trees: Sequence[Tree], starts: Sequence[int]
) -> Batch:
    targets = [
        (start + source, answer, weight)
        for start, tree in zip(starts, trees, strict=False)
        for source, answer, weight in tree.targets
    ]
    sources, answers, weights = torch.tensor(targets, dtype=torch.long).reshape(-1, 3).unbind(1)
    return Batch(ids, positions, ends, sources, answers, weights.float())


def targets(example: Tokenized) -> int:
    """The number of target tokens."""
    return sum(label != IGNORED for label in example.labels[1:])
