"""Int8 weights (W8A8) from a bfloat16 folder, in the format of compressed-tensors that vLLM loads.

Weights are quantized symmetrically with one scale an output channel, activations while the model runs with one scale a
token, so that no calibration is needed. Embeddings, which are the output layer too, and norms stay as they are.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

LARGEST = 127
_LINEAR = "_proj.weight"
_KEPT_FILES = ("generation_config.json", "tokenizer.json", "tokenizer_config.json")

# https://github.com/vllm-project/compressed-tensors, the scheme that is called W8A8 there.
QUANTIZATION: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "channel",
                "dynamic": False,
            },
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "token",
                "dynamic": True,
            },
        }
    },
}


def quantize(source: Path, target: Path) -> None:
    """Write the model of `source` with int8 weights into the folder `target`, which must not exist."""
    from safetensors.torch import load_file, save_file

    target.mkdir(parents=True)
    tensors = {}
    for name, tensor in load_file(source / "model.safetensors").items():
        if name.endswith(_LINEAR):
            tensors[name], tensors[f"{name}_scale"] = _quantized(tensor)
        else:
            tensors[name] = tensor
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    (target / "config.json").write_text(json.dumps(config | {"quantization_config": QUANTIZATION}), encoding="utf-8")
    for name in _KEPT_FILES:
        shutil.copyfile(source / name, target / name)


def _quantized(weight: Any) -> tuple[Any, Any]:
    """Int8 values of the weight's shape [outputs, inputs], and float32 scales [outputs, 1]."""
    import torch

    exact = weight.float()
    scale = exact.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / LARGEST
    return (exact / scale).round().clamp(-LARGEST, LARGEST).to(torch.int8), scale
