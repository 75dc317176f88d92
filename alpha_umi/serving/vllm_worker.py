"""vLLM's worker of a CPU engine with speculation; the engine process imports this module.

In vLLM 0.32 sampled tokens of a batch with proposed tokens come from uninitialized memory on a CPU: the temperatures of
the requests are written into a copy (`_expand_kernel_impl` in `vllm/utils/cpu_triton_utils.py`). This worker replaces
the function. Greedy requests never needed it.
"""

from __future__ import annotations

import torch
from vllm.v1.worker.cpu_worker import CPUWorker


class CpuWorker(CPUWorker):  # type: ignore[misc]
    """A worker that samples beside proposed tokens."""

    def init_device(self) -> None:
        """Replace vLLM's function before the first step."""
        from vllm.v1.sample import rejection_sampler

        rejection_sampler.expand_batch_to_tokens = expand_batch_to_tokens
        super().init_device()


def expand_batch_to_tokens(
    x: torch.Tensor, cu_num_tokens: torch.Tensor, num_tokens: int, replace_from: int = 0, replace_to: int = 0
) -> torch.Tensor:
    """Repeat the value of each request for its tokens; `replace_from` becomes `replace_to`.

    Shapes: `x` and `cu_num_tokens`, the ends of the requests' tokens, have one value for a request, the result has
    `num_tokens`.
    """
    counts = torch.diff(cu_num_tokens, prepend=cu_num_tokens.new_zeros(1))
    return torch.where(x == replace_from, replace_to, x).repeat_interleave(counts, output_size=num_tokens)
