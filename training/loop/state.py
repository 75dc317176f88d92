"""The state of a model and its optimizer as tensors by name, whatever the number of processes.

torch gathers sharded tensors, so that one process can resume from a checkpoint of two.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

_FULL = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
_PARTIAL = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)
_FROM_FIRST = StateDictOptions(
    full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, broadcast_from_rank0=True
)
_SEPARATOR = "|"


def weights_of(model: Any) -> dict[str, Any]:
    """The trained weights, gathered on the CPU. Collective: every process must call it, and the first gets the result.

    Shared weights are included once.
    """
    # Excludes the second name of weights that a frozen layer shares (an output layer that is the embedding).
    trained = {name.removeprefix("module.") for name, value in model.named_parameters() if value.requires_grad}
    tensors = get_model_state_dict(model, options=_FULL)
    return {name: tensor.contiguous() for name, tensor in tensors.items() if name in trained}


def set_weights(model: Any, weights: dict[str, Any]) -> None:
    """Load weights into the model."""
    set_model_state_dict(model, dict(weights), options=_PARTIAL)


def optimizer_of(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's tensors. Collective: every process must call it, and the first gets the result.

    Hyper-parameters are not included: they follow from the config and the step.
    """
    state = get_optimizer_state_dict(model, optimizer, options=_FULL).get("state", {})
    return {
        f"{name}{_SEPARATOR}{key}": torch.as_tensor(value).contiguous()
        for name, values in state.items()
        for key, value in values.items()
    }


def set_optimizer(model: Any, optimizer: torch.optim.Optimizer, tensors: dict[str, Any]) -> None:
    """Load the optimizer's tensors."""
    full = get_optimizer_state_dict(model, optimizer, options=_FULL)
    state: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition(_SEPARATOR)
        state.setdefault(parameter, {})[key] = tensor
    # Other processes do not know the names of all shards: the first broadcasts them.
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    given = {**full, "state": state} if full else {}
    set_optimizer_state_dict(model, optimizer, given, options=_FROM_FIRST if together else _FULL)


def random_state(device: torch.device) -> Any:
    """The random number states of this process, as one row of bytes: of the CPU, then of the device."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def set_random_state(device: torch.device, row: Any) -> None:
    """Restore the random number states."""
    size = torch.get_rng_state().numel()
    torch.set_rng_state(row[:size].clone())
    if device.type == "cuda" and row.numel() > size:
        torch.cuda.set_rng_state(row[size:].clone(), device)
