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
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attention_mask is None:
        attended, _ = sdpa_attention_forward(module, query, key, value, None, **options)
        return attended, None
    ends = attention_mask[0, 0, 0]
    parts = []
    for start in range(0, len(ends), ROWS):
        stop = min(start + ROWS, len(ends))
        keys = (ends[:stop] > start).nonzero()[:, 0]
        mask = visible(ends, keys, start, stop)[None, None]
        part, _ = sdpa_attention_forward(
            module, query[:, :, start:stop], key[:, :, keys], value[:, :, keys], mask, **options
        )
        parts.append(part)
    return torch.cat(parts, dim=1), None
