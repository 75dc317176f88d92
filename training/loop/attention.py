"""Attention over trees of examples (`trees.py`), as implementations of transformers.

A model gets the ends of a tree's tokens as its attention mask, with the shape [1, 1, 1, tokens]: transformers hands a
mask of four dimensions to each layer unchanged. `BLOCKS` computes the queries in blocks, each with the keys that one of
them sees. So no product of all tokens is computed, and masks need little memory. `FLEX` is FlexAttention on a GPU,
whose kernels skip what the mask excludes; torch has no backward pass of it for CPUs.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import torch
from torch import Tensor

Attention = Literal["alpha_umi_blocks", "flex_attention"]
BLOCKS: Final[Attention] = "alpha_umi_blocks"
FLEX: Final[Attention] = "flex_attention"
# Queries of a block. Smaller blocks skip more keys, and need more calls.
ROWS: Final = 256
# FlexAttention computes blocks of this many tokens.
FLEX_BLOCK: Final = 128


def register() -> None:
    """Register `BLOCKS` with transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(BLOCKS, block_attention)


def tree_mask(ends: Tensor, attention: str) -> Any:
    """The attention mask of a tree; `ends` has the shape [tokens], for `FLEX` a multiple of `FLEX_BLOCK`.

    Raises `ValueError` for an implementation that cannot use it.
    """
    if attention == BLOCKS:
        return ends[None, None, None]
    if attention != FLEX:
        raise ValueError(f"the attention {attention} cannot compute trees")
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < ends[key])

    size = len(ends)
    # Compiled, it does not materialize all pairs.
    return create_block_mask(sees, 1, None, size, size, device=str(ends.device), _compile=ends.is_cuda)


def visible(ends: Tensor, keys: Tensor, start: int, stop: int) -> Tensor:
    """Whether each query from `start` to `stop` sees each of the keys: [queries, keys]."""
    queries = torch.arange(start, stop, device=ends.device)[:, None]
    return (keys <= queries) & (queries < ends[keys])


def block_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention of transformers' interface. Heads come second; the mask has ends, or is None for causal attention."""
    if attention_mask is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        attended, _ = sdpa_attention_forward(module, query, key, value, None, **options)
        return attended, None
    ends = attention_mask[0, 0, 0]
    heads, width = query.shape[1], query.shape[3]
    groups = key.shape[1]
    query = query * (options.get("scaling") or width**-0.5)
    parts = []
    for start in range(0, len(ends), ROWS):
        stop = min(start + ROWS, len(ends))
        keys = (ends[:stop] > start).nonzero()[:, 0]
        # The queries of all heads that share keys are the rows of one product.
        rows = query[0, :, start:stop].reshape(groups, -1, width)
        hidden = ~visible(ends, keys, start, stop)
        part = _Block.apply(rows, key[0][:, keys], value[0][:, keys], hidden)
        parts.append(part.view(heads, -1, width).transpose(0, 1))
    return torch.cat(parts)[None], None


class _Block(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
    """Attention of a block of queries, with scores in the precision of the inputs.

    On a CPU the products are those of the linear layers, which are faster than torch's kernel with a mask: a step of
    the embedded backbone takes three quarters of the time.
    """

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor, hidden: Tensor) -> Tensor:
        """Queries have the shape [groups, heads of a group * rows, width], keys and values [groups, keys, width], and
        `hidden`, which is True where a row does not see a key, [rows, keys]."""
        scores = torch.bmm(query, key.transpose(1, 2)).view(len(query), -1, *hidden.shape)
        weights = scores.masked_fill_(hidden, -torch.inf).softmax(-1).view(len(query), -1, hidden.shape[1])
        context.save_for_backward(query, key, value, weights)
        return torch.bmm(weights, value)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The gradients of queries, keys and values."""
        query, key, value, weights = context.saved_tensors
        of_weights = torch.bmm(gradient, value.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_value = torch.bmm(weights.transpose(1, 2), gradient)
        return torch.bmm(of_scores, key), torch.bmm(of_scores.transpose(1, 2), query), of_value, None
