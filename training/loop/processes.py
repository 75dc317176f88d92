"""The processes of a distributed training, which replicate the model or shard it.

accelerate's launcher starts them. `shard` divides weights, gradients and optimizer state (DeepSpeed's ZeRO stage 3)
with torch's `fully_shard`, which needs no compiled extension and also runs on CPUs.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from training.loop.objective import TargetLoss
from training.recipes.model import Config


def is_first() -> bool:
    """Whether this is the first process of accelerate's launcher, or the only one."""
    return os.environ.get("RANK", "0") == "0"


class Processes:
    """This process and its operations with the other processes of the training."""

    def __init__(self, config: Config, device: str, *, bf16: bool) -> None:
        self._accelerator = Accelerator(cpu=device == "cpu")
        self._shard = config.parallel == "shard" and self.count > 1
        self._bf16 = bf16

    @property
    def count(self) -> int:
        """The number of processes."""
        return int(self._accelerator.num_processes)

    @property
    def number(self) -> int:
        """The rank of this process, from 0."""
        return int(self._accelerator.process_index)

    @property
    def device(self) -> torch.device:
        """The device of this process."""
        device: torch.device = self._accelerator.device
        return device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and reports to the observer."""
        return self.number == 0

    def prepare(self, module: TargetLoss) -> Any:
        """The module on this process's device, replicated or sharded."""
        if not self._shard:
            return self._accelerator.prepare_model(module)
        from torch.distributed.fsdp import fully_shard

        module.to(self.device)
        for layer in _layers(module):
            fully_shard(layer)
        return fully_shard(module)

    @contextlib.contextmanager
    def computing(self, module: Any, *, last: bool) -> Iterator[None]:
        """Around a round's forward and backward pass. Gradients are reduced in the `last` round of a step."""
        joined = contextlib.nullcontext() if last or self._shard else self._accelerator.no_sync(module)
        with joined, self.precision():
            yield

    def precision(self) -> Any:
        """Context manager for the number format of matrix products."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16)

    def leave(self) -> None:
        """Destroy the process group: threads that outlive the interpreter would abort it."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    def sum(self, *values: float) -> list[float]:
        """The sums of values over all processes."""
        if self.count == 1:
            return list(values)
        row = torch.tensor(values, dtype=torch.float64, device=self.device)
        summed: list[float] = self._accelerator.reduce(row, reduction="sum").tolist()
        return summed

    def rows(self, row: Any) -> Any:
        """The rows of all processes, as a matrix on the CPU."""
        gathered = self._accelerator.gather(row.to(self.device).unsqueeze(0))
        return gathered.cpu()

    def clip(self, parameters: list[Any], limit: float) -> float:
        """Clip the norm of all gradients; returns the norm before clipping."""
        norm: Any = torch.nn.utils.clip_grad_norm_(parameters, limit)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def wait(self) -> None:
        """Barrier over all processes."""
        self._accelerator.wait_for_everyone()

    def reset_peak_memory(self) -> None:
        """Reset the memory peak."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            reset_peak_rss()

    def peak_memory(self) -> int:
        """Peak memory of this process since `reset_peak_memory`, in bytes: of the GPU, else resident memory."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return peak_rss()


def _layers(module: TargetLoss) -> list[Any]:
    model = module.model
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    return list(causal.get_decoder().layers)


_PEAK = "VmHWM:"


def reset_peak_rss(process: Path = Path("/proc/self")) -> None:
    """Reset the peak of resident memory. Without permission of the system, the old peak remains."""
    try:
        # See proc_pid_clear_refs(5): 5 sets the peak to what is resident.
        (process / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_rss(process: Path = Path("/proc/self")) -> int:
    """Peak resident memory in bytes since `reset_peak_rss`; outside Linux, since the process started."""
    try:
        lines = (process / "status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(_PEAK))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
