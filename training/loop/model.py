"""The model of a stage: the backbone, fully trainable or with a LoRA adapter, and the weights of the previous stage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from alpha_umi.serving.manifest import ManifestError, ModelManifest, load_manifest
from alpha_umi.serving.processor import choose_dtype, read_cpu_flags
from alpha_umi.serving.weights import WeightsError, cache_folder, ensure_backbone
from alpha_umi.serving.weights.backbone import NAME as EMBEDDED
from alpha_umi.serving.weights.canary import quiet_transformers
from alpha_umi.serving.weights.errors import CacheUnusable
from alpha_umi.serving.weights.hub import locate
from training.errors import BackboneUnusable, CannotWrite, DeviceMissing
from training.loop.attention import BLOCKS, FLEX, Attention, register
from training.loop.objective import TargetLoss
from training.recipes.model import Config, Lora

ADAPTER = "adapter_model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json")
# The files that determine the tokens of a text.
_VOCABULARY = ("tokenizer.json", "tokenizer.model")
# The prefix of parameter names in `TargetLoss`.
_OUTER = "model."


def backbone_of(config: Config) -> tuple[Path, ModelManifest]:
    """The folder of the config's backbone and its manifest; the embedded one is converted if necessary.

    Raises `BackboneUnusable`, and `CannotWrite` if the cache is not writable.
    """
    try:
        folder = ensure_backbone(cache_folder()) if config.backbone == EMBEDDED else locate(config.backbone)
        manifest = load_manifest(folder)
    except CacheUnusable as error:
        raise CannotWrite(str(error)) from error
    except WeightsError as error:
        raise BackboneUnusable(str(error)) from error
    except ManifestError as error:
        raise BackboneUnusable(
            f"config {config.name}: backbone: {error}",
            remedy="make a model folder of it with `alpha-umi models convert SOURCE TARGET --role backbone`",
        ) from error
    if manifest.context < config.context:
        raise BackboneUnusable(
            f"config {config.name}: context is {config.context:,}, and the backbone has {manifest.context:,}",
            remedy=f"set context to {manifest.context} or less",
        )
    return folder, manifest


def identity_of(backbone: ModelManifest) -> dict[str, Any]:
    """The identity of a backbone, as JSON: its name, and the digests of its weights and its tokenizer.

    The other files and the rest of the manifest differ between machines and versions of the libraries that wrote them.
    """
    vocabulary = {name: digest for name, digest in backbone.files.items() if name in _VOCABULARY}
    return {"name": backbone.name, "files": {**backbone.weights, **vocabulary}}


def device_of(config: Config) -> str:
    """`cuda` or `cpu`. Raises `DeviceMissing` if the config requires a GPU and there is none."""
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise DeviceMissing(
            f"config {config.name}: device is cuda, and this machine has no GPU that torch {torch.__version__} can use",
            remedy="set device to auto or cpu, or train on a machine with a GPU",
        )
    return "cuda" if available and config.device != "cpu" else "cpu"


def uses_bf16(config: Config, device: str) -> bool:
    """Whether matrix products use bfloat16; with `auto`, if the device supports it. Raises `DeviceMissing`."""
    if device == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # torch emulates it on other processors, which is slower than float32.
        supported = choose_dtype("auto", gpu=False, cpu_flags=read_cpu_flags()) == "bfloat16"
    if config.precision == "bf16" and device == "cuda" and not supported:
        raise DeviceMissing(
            f"config {config.name}: precision is bf16, which this GPU does not compute", remedy="set it to float32"
        )
    return config.precision == "bf16" or (config.precision == "auto" and supported)


def attention_of(config: Config, device: str) -> Attention | None:
    """The attention that computes common prefixes once; None if they are repeated. Raises `DeviceMissing`."""
    match config.prefixes:
        case "auto" if config.lora and config.lora.dropout:
            return None
        case "auto":
            return FLEX if device == "cuda" else BLOCKS
        case "flex" if device != "cuda":
            raise DeviceMissing(
                f"config {config.name}: prefixes is flex, and torch {torch.__version__} trains with FlexAttention on "
                "GPUs only",
                remedy="set prefixes to auto or blocks",
            )
        case "flex":
            return FLEX
        case "blocks":
            return BLOCKS
        case "repeated":
            return None


def load_model(
    config: Config, backbone: Path, start: Path | None, *, seed: int, bf16: bool, attention: Attention | None = None
) -> TargetLoss:
    """The model of a stage, on the CPU. `start` is the model folder of the previous stage; None is the backbone.

    Trained weights are float32; a frozen backbone is bfloat16 if the machine computes in it. Without `attention` the
    model cannot compute trees. Raises `BackboneUnusable`.
    """
    from transformers import AutoModelForCausalLM

    register()
    folder = backbone if start is None or config.lora else start
    frozen = torch.bfloat16 if bf16 and config.lora else torch.float32
    with quiet_transformers():
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=frozen, local_files_only=True, trust_remote_code=False, attn_implementation=attention
        )
    if attention and getattr(model.config, "sliding_window", None):
        raise BackboneUnusable(
            f"config {config.name}: a layer of the backbone sees {model.config.sliding_window:,} tokens only; trees "
            "of examples do not follow that",
            remedy="set prefixes to repeated",
        )
    if config.checkpoint_activations:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if config.lora:
        model = _with_adapter(model, config.lora, start, seed)
    return TargetLoss(model)


def _with_adapter(model: Any, lora: Lora, start: Path | None, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
    from safetensors.torch import load_file

    torch.manual_seed(seed)
    layers = lora.layers if isinstance(lora.layers, str) else list(lora.layers)
    lora_config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=layers, task_type="CAUSAL_LM"
    )
    try:
        adapted: Any = get_peft_model(model, lora_config)
    except ValueError as error:
        raise BackboneUnusable(f"lora.layers: {error}", remedy="name linear layers of the backbone") from error
    if start is not None:
        set_peft_model_state_dict(adapted, load_file(start / ADAPTER))
    return adapted


def save_model(module: TargetLoss, weights: dict[str, Any], folder: Path, backbone: Path, *, lora: bool) -> None:
    """Write a stage's model: an adapter in peft's format and float32, or a full model in the backbone's own format.

    `weights` are those of `module`, by its names. Raises `OSError`.
    """
    inner = {name.removeprefix(_OUTER): tensor for name, tensor in weights.items()}
    if lora:
        save_adapter(module.model, inner, folder)
        return
    from transformers import AutoConfig

    stored = AutoConfig.from_pretrained(backbone, local_files_only=True).dtype or torch.float32
    with quiet_transformers():
        module.model.save_pretrained(folder, state_dict={name: value.to(stored) for name, value in inner.items()})
    for name in TOKENIZER_FILES:
        if (backbone / name).is_file():
            shutil.copyfile(backbone / name, folder / name)


def save_adapter(model: Any, weights: dict[str, Any], folder: Path) -> None:
    """Write the adapter of a peft model. The backbone's place on this machine stays out of it."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    settings = model.peft_config["default"]
    settings.base_model_name_or_path = None
    settings.inference_mode = True
    settings.save_pretrained(folder)
    tensors = get_peft_model_state_dict(model, state_dict=weights, save_embedding_layers=False)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / ADAPTER, {"format": "pt"})
