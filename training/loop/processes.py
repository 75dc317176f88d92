"""The processes that train together: each a whole copy of the model, or all of them one copy, divided.

accelerate's launcher starts them and this module joins them. `shard` divides weights, gradients and optimizer state
(what DeepSpeed calls ZeRO stage 3) with torch's own `fully_shard`, which needs nothing compiled and runs on CPUs too.
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
    """Whether this is the first of the processes that accelerate's launcher has started, or none has been."""
    return os.environ.get("RANK", "0") == "0"


class Processes:
    """This process among those that train together; alone it is the only one."""

    def __init__(self, config: Config, device: str, *, bf16: bool) -> None:
        self._accelerator = Accelerator(cpu=device == "cpu")
        self._shard = config.parallel == "shard" and self.count > 1
        self._bf16 = bf16

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._accelerator.num_processes)

    @property
    def number(self) -> int:
        """Which of them this one is, from 0."""
        return int(self._accelerator.process_index)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        device: torch.device = self._accelerator.device
        return device

    @property
    def is_main(self) -> bool:
        """Whether this process writes and tells."""
        return self.number == 0

    def prepare(self, module: TargetLoss) -> Any:
        """The module on this process's device, together with those of the others."""
        if not self._shard:
            return self._accelerator.prepare_model(module)
        from torch.distributed.fsdp import fully_shard

        module.to(self.device)
        for layer in _layers(module):
            fully_shard(layer)
        return fully_shard(module)

    @contextlib.contextmanager
    def computing(self, module: Any, *, last: bool) -> Iterator[None]:
        """Around a round's forward and backward pass. Gradients of a step are joined in its `last` round."""
        joined = contextlib.nullcontext() if last or self._shard else self._accelerator.no_sync(module)
        with joined, self.precision():
            yield

    def precision(self) -> Any:
        """The number format that matrices are multiplied in."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._bf16)

    def leave(self) -> None:
        """End what joins the processes: threads that still run when the interpreter goes would abort it."""
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
        """A row of each process, as a matrix on the CPU."""
        gathered = self._accelerator.gather(row.to(self.device).unsqueeze(0))
        return gathered.cpu()

    def clip(self, parameters: list[Any], limit: float) -> float:
        """Bound the norm of all gradients; returns what it was."""
        norm: Any = torch.nn.utils.clip_grad_norm_(parameters, limit)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def wait(self) -> None:
        """Wait until all have come this far."""
        self._accelerator.wait_for_everyone()

    def count_memory(self) -> None:
        """Count the memory of a stage from here on."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            reset_peak_rss()

    def peak_memory(self) -> int:
        """The most memory that this process has taken since `count_memory`, in bytes: a GPU's, else its own."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return peak_rss()


def _layers(module: TargetLoss) -> list[Any]:
    model = module.model
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    return list(causal.get_decoder().layers)


_PEAK = "VmHWM:"


def reset_peak_rss(process: Path = Path("/proc/self")) -> None:
    """Let the peak begin with what is taken now. Where the system does not allow it, the peak stays the old one."""
    try:
        # See proc_pid_clear_refs(5): 5 sets the peak to what is resident.
        (process / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def peak_rss(process: Path = Path("/proc/self")) -> int:
    """The most bytes that were resident since `reset_peak_rss`; elsewhere than on Linux since the process began."""
    try:
        lines = (process / "status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(_PEAK))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
