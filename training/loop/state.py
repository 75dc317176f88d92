"""The state of a model and its optimizer as plain tensors by name, the same for one process and for many.

torch gathers what is divided among processes, so that a checkpoint of two processes can be gone on with by one.
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

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
_PARTIAL = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)
_FROM_FIRST = StateDictOptions(
    full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, broadcast_from_rank0=True
)
_SEPARATOR = "|"


def weights_of(model: Any) -> dict[str, Any]:
    """What is trained, whole and on the CPU. Every process has to ask, and the first is answered.

    Weights that two layers share are there once.
    """
    # Each once, and not what a frozen layer shares with another (an output layer that is the embedding).
    trained = {name.removeprefix("module.") for name, value in model.named_parameters() if value.requires_grad}
    found = get_model_state_dict(model, options=_WHOLE)
    return {name: tensor.contiguous() for name, tensor in found.items() if name in trained}


def set_weights(model: Any, weights: dict[str, Any]) -> None:
    """Put weights back."""
    set_model_state_dict(model, dict(weights), options=_PARTIAL)


def optimizer_of(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's tensors. Every process has to ask, and the first is answered.

    Its numbers are not among them: they follow from the config and the step.
    """
    state = get_optimizer_state_dict(model, optimizer, options=_WHOLE).get("state", {})
    return {
        f"{name}{_SEPARATOR}{key}": torch.as_tensor(value).contiguous()
        for name, values in state.items()
        for key, value in values.items()
    }


def set_optimizer(model: Any, optimizer: torch.optim.Optimizer, tensors: dict[str, Any]) -> None:
    """Put the optimizer's tensors back."""
    whole = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
    state: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        parameter, _, key = name.rpartition(_SEPARATOR)
        state.setdefault(parameter, {})[key] = tensor
    # Processes other than the first know no names of others' parts, and are told by it.
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    given = {**whole, "state": state} if whole else {}
    set_optimizer_state_dict(model, optimizer, given, options=_FROM_FIRST if together else _WHOLE)


def random_state(device: torch.device) -> Any:
    """The states of this process's random numbers, as one row of bytes: the CPU's, then the device's."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def set_random_state(device: torch.device, row: Any) -> None:
    """Put the states back."""
    size = torch.get_rng_state().numel()
    torch.set_rng_state(row[:size].clone())
    if device.type == "cuda" and row.numel() > size:
        torch.cuda.set_rng_state(row[size:].clone(), device)
