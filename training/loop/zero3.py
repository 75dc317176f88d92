"""DeepSpeed's ZeRO stage 3, for those who have it: the extra `training-deepspeed`.

It divides as `parallel: shard` does. Checkpoints are the same files, without DeepSpeed's own pickles, so that a run may
change between the two.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from training.errors import DeviceMissing
from training.loop.objective import TargetLoss
from training.loop.processes import Processes
from training.recipes.model import Config

_MOMENTS = ("exp_avg", "exp_avg_sq")


class DeepSpeedUpdater:
    """AdamW in a DeepSpeed engine."""

    def __init__(self, module: TargetLoss, processes: Processes, config: Config, *, bf16: bool) -> None:
        try:
            import deepspeed
        except ModuleNotFoundError as error:
            raise DeviceMissing(
                f"config {config.name}: parallel is deepspeed, which is not installed",
                remedy="pip install 'alpha-umi[training-deepspeed]', or set parallel to shard",
            ) from error
        self._processes = processes
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=0.0, weight_decay=config.weight_decay)
        settings = _settings(config, bf16=bf16)
        self.model, self._wrapped, *_ = deepspeed.initialize(model=module, optimizer=optimizer, config=settings)
        self._optimizer = optimizer
        # Allocating the moments counts as a first step in DeepSpeed.
        self._set_step(0.0)

    @contextlib.contextmanager
    def computing(self, *, last: bool) -> Iterator[None]:
        """Around a round."""
        with _quiet():
            yield

    def backward(self, loss: Any, *, last: bool) -> None:
        """Add a round's gradients."""
        self.model.set_gradient_accumulation_boundary(is_boundary=last)
        self.model.backward(loss)

    def update(self, rate: float) -> float:
        """Update the weights."""
        for group in self._wrapped.param_groups:
            group["lr"] = rate
        with _quiet():
            self.model.step()
        return float(self.model.get_global_grad_norm())

    def weights(self) -> dict[str, Any]:
        """The trained weights."""
        from deepspeed.utils import safe_get_full_fp32_param

        return {name: _on_cpu(safe_get_full_fp32_param(parameter)) for name, parameter in self._trained()}

    def optimizer(self) -> dict[str, Any]:
        """The optimizer's tensors."""
        from deepspeed.utils import safe_get_full_optimizer_state

        tensors: dict[str, Any] = {}
        step = torch.tensor(float(next(iter(self._optimizer.state.values()))["step"]))
        for name, parameter in self._trained():
            for key in _MOMENTS:
                tensors[f"{name}|{key}"] = _on_cpu(safe_get_full_optimizer_state(parameter, key))
            tensors[f"{name}|step"] = step.clone()
        return tensors

    def restore(self, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Restore weights and optimizer."""
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        for name, parameter in self._trained():
            safe_set_full_fp32_param(parameter, weights[name])
            for key in _MOMENTS:
                safe_set_full_optimizer_state(parameter, optimizer[f"{name}|{key}"], key)
        self._set_step(float(next(value for name, value in optimizer.items() if name.endswith("|step"))))

    def _trained(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in self.model.module.named_parameters() if value.requires_grad]

    def _set_step(self, step: float) -> None:
        for values in self._optimizer.state.values():
            values["step"] = torch.tensor(step)


def _settings(config: Config, *, bf16: bool) -> dict[str, Any]:
    return {
        # The loop divides steps into rounds.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": config.clip,
        "zero_optimization": {"stage": 3},
        "zero_allow_untested_optimizer": True,
        "torch_autocast": {"enabled": bf16, "dtype": "bfloat16"},
    }


def _on_cpu(tensor: Any) -> Any:
    return tensor.detach().cpu().contiguous()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings: DeepSpeed calls deprecated functions of torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
