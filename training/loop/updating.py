"""What changes weights: gradients, the optimizer, and its state. One way is torch's own, the other DeepSpeed's."""

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
    """A module made ready for training, together with those of the other processes."""

    model: Any

    def computing(self, *, last: bool) -> contextlib.AbstractContextManager[None]:
        """Around a round's forward and backward pass. Gradients of a step are joined in its `last` round."""

    def backward(self, loss: Any, *, last: bool) -> None:
        """Add a round's gradients."""

    def update(self, rate: float) -> float:
        """Bound the gradient and change the weights; returns what its norm was, before it was bounded.

        Where that is no number, the weights are not to be used any more.
        """

    def weights(self) -> dict[str, Any]:
        """What is trained, whole and on the CPU. Every process has to ask, and the first is answered."""

    def optimizer(self) -> dict[str, Any]:
        """The optimizer's tensors as `NAME|KEY`, under the same conditions."""

    def restore(self, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Put both back."""


def make_updater(module: TargetLoss, processes: Processes, config: Config, *, bf16: bool) -> Updater:
    """The one that the config asks for. Raises `DeviceMissing` where DeepSpeed is not installed."""
    if config.parallel == "deepspeed":
        from training.loop.zero3 import DeepSpeedUpdater

        return DeepSpeedUpdater(module, processes, config, bf16=bf16)
    return TorchUpdater(module, processes, config)


class TorchUpdater:
    """AdamW over a whole model, or over this process's share of a divided one."""

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
        """Change the weights, but not by what is no number."""
        norm = self._processes.clip(self._parameters, self._clip)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        if math.isfinite(norm):
            self._optimizer.step()
        self._optimizer.zero_grad()
        return norm

    def weights(self) -> dict[str, Any]:
        """What is trained."""
        return state.weights_of(self.model)

    def optimizer(self) -> dict[str, Any]:
        """The optimizer's tensors."""
        return state.optimizer_of(self.model, self._optimizer)

    def restore(self, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Put both back."""
        state.set_weights(self.model, weights)
        state.set_optimizer(self.model, self._optimizer, optimizer)
