"""Gradients, the optimizer and its state, with torch (`TorchUpdater`) or DeepSpeed (`zero3`)."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Protocol

import torch

from training.loop import state
from training.loop.objective import TargetLoss
from training.loop.processes import Processes
from training.recipes.model import Config


class Updater(Protocol):
    """A module that is prepared for training in all processes."""

    model: Any

    def computing(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Around a round's forward and backward pass. Gradients are reduced in the `last` round of a step."""

    def backward(self, loss: Any, *, last: bool) -> None:
        """Add a round's gradients."""

    def update(self, rate: float) -> float:
        """Clip the gradient and update the weights; returns the norm before clipping.

        If the norm is not finite, the weights must not be used any more.
        """

    def weights(self) -> dict[str, Any]:
        """The trained weights, gathered on the CPU. Collective: every process must call it, and the first gets them."""

    def optimizer(self) -> dict[str, Any]:
        """The optimizer's tensors as `NAME|KEY`. Collective like `weights`."""

    def restore(self, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Restore weights and optimizer."""


def make_updater(module: TargetLoss, processes: Processes, config: Config, *, bf16: bool) -> Updater:
    """The updater of the config. Raises `DeviceMissing` if DeepSpeed is required and not installed."""
    if config.parallel == "deepspeed":
        from training.loop.zero3 import DeepSpeedUpdater

        return DeepSpeedUpdater(module, processes, config, bf16=bf16)
    return TorchUpdater(module, processes, config)


class TorchUpdater:
    """AdamW over a replicated model, or over this process's shard."""

    def __init__(self, module: TargetLoss, processes: Processes, config: Config) -> None:
        self.model: Any = processes.prepare(module)
        self._processes, self._clip = processes, config.clip
        self._parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=0.0, weight_decay=config.weight_decay)

    def computing(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Around a round."""
        return self._processes.computing(self.model, last=last)

    def backward(self, loss: Any, *, last: bool) -> None:
        """Add a round's gradients."""
        loss.backward()

    def update(self, rate: float) -> float:
        """Update the weights, unless the norm is not finite."""
        norm = self._processes.clip(self._parameters, self._clip)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if math.isfinite(norm):
            self._optimizer.step()
        self._optimizer.zero_grad()
        return norm

    def weights(self) -> dict[str, Any]:
        """The trained weights."""
        return state.weights_of(self.model)

    def optimizer(self) -> dict[str, Any]:
        """The optimizer's tensors."""
        return state.optimizer_of(self.model, self._optimizer)

    def restore(self, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Restore weights and optimizer."""
        state.set_weights(self.model, weights)
        state.set_optimizer(self.model, self._optimizer, optimizer)
