"""Models with random weights in the shapes of real ones: speed depends on shapes only.

Configuration and adapters are written; the engine creates the weights (`VllmOptions.load_format`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

RANK = 16
CONTEXT = 4_096
# Llama's, by the number of parameters; the smallest is for testing the benchmark itself.
SHAPES = {
    "1m": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2},
    "7b": {"hidden_size": 4_096, "intermediate_size": 11_008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "13b": {"hidden_size": 5_120, "intermediate_size": 13_824, "num_hidden_layers": 40, "num_attention_heads": 40},
}
# The projections of attention, square in these shapes.
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")


def write_configuration(folder: Path, shape: str, tokenizer: Path) -> Path:
    """A model folder without weights: a shape with the tokenizer and manifest of another model's folder."""
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "alpha_umi.json"):
        shutil.copyfile(tokenizer / name, folder / name)
    other = json.loads((tokenizer / "config.json").read_bytes())
    copied = {name: other[name] for name in ("vocab_size", "bos_token_id", "eos_token_id")}
    _write_json(folder / "config.json", {**_llama(shape), **copied})
    return folder


def write_adapters(folder: Path, model: Path, roles: Sequence[str]) -> dict[str, Path]:
    """A random LoRA adapter in peft's format for each role, on the model of a folder."""
    config = json.loads((model / "config.json").read_bytes())
    return {role: _write_adapter(folder / role, config, seed) for seed, role in enumerate(roles)}


def _llama(shape: str) -> dict[str, Any]:
    sizes = SHAPES[shape]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_key_value_heads": sizes["num_attention_heads"],
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
        **sizes,
    }


def _write_adapter(folder: Path, config: dict[str, Any], seed: int) -> Path:
    folder.mkdir(parents=True)
    names = [
        f"base_model.model.model.layers.{layer}.self_attn.{target}"
        for layer in range(config["num_hidden_layers"])
        for target in TARGETS
    ]
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for name in names:
        down, up = torch.randn(2, RANK, config["hidden_size"], generator=random, dtype=torch.bfloat16) * 1e-3
        tensors |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up.T.contiguous()}
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": RANK, "target_modules": TARGETS}
    _write_json(folder / "adapter_config.json", settings)
    return folder


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
