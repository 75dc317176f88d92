"""Convert a quantized GGUF file of the Llama architecture into a folder with bfloat16 safetensors and a tokenizer.

The gguf library reads and dequantizes the tensors; transformers reads the configuration and writes the folder.
transformers can load such a file itself; converting tensor by tensor gives the same numbers in a fraction of the time,
reports progress, and keeps the quantization out of the configuration. Other architectures are not supported.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alpha_umi.serving.weights.canary import quiet_transformers
from alpha_umi.serving.weights.progress import Progress, silent

_STRAY_SETTINGS = ("_model_name_or_path", "transformers_version")


def convert(gguf: Path, folder: Path, progress: Progress = silent) -> None:
    """Write model, configuration and tokenizer into `folder`, which exists. Raises `OSError` for a full disk."""
    progress("Reading the configuration", 0.0)
    config = _read_config(gguf)
    progress("Reading the tokenizer", 0.25)
    _read_tokenizer(gguf, context=config.max_position_embeddings).save_pretrained(folder, save_jinja_files=False)
    progress("Converting the weights", 0.5)
    model = _empty_model(config)
    for done in _fill(model, gguf):
        progress("Converting the weights", 0.7 + 0.25 * done)
    progress("Writing the weights", 0.95)
    with quiet_transformers():
        model.save_pretrained(folder)


def _read_config(gguf: Path) -> Any:
    from transformers import AutoConfig, LlamaConfig

    read = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    return LlamaConfig(**{name: value for name, value in read.to_dict().items() if name not in _STRAY_SETTINGS})


def _read_tokenizer(gguf: Path, *, context: int) -> Any:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    read: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    # The file's pre-tokenizer is "smollm": single digits, then GPT-2's rule. transformers applies the latter only,
    # which splits the blanks before a number in a way that the model was not trained on.
    read.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=read.backend_tokenizer,
        bos_token=read.bos_token,
        eos_token=read.eos_token,
        pad_token=read.pad_token,
        unk_token=read.unk_token,
        chat_template=read.chat_template,
        model_max_length=context,
    )


def _empty_model(config: Any) -> Any:
    import torch
    from transformers import LlamaForCausalLM

    return LlamaForCausalLM(config).to(torch.bfloat16)


def _fill(model: Any, gguf: Path) -> Iterator[float]:
    """Set every parameter of the model; yields the completed share."""
    import torch
    from gguf import MODEL_ARCH, GGUFReader, get_tensor_name_map
    from gguf.quants import dequantize

    tensors = {tensor.name: tensor for tensor in GGUFReader(gguf).tensors}
    names = get_tensor_name_map(MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    parameters = list(model.named_parameters())
    for number, (name, parameter) in enumerate(parameters, start=1):
        tensor = tensors[names.get_name(name, try_suffixes=(".weight",))]
        weights = torch.tensor(dequantize(tensor.data, tensor.tensor_type))
        parameter.data.copy_(_unrotated(name, weights, model.config))
        yield number / len(parameters)


def _unrotated(name: str, weights: Any, config: Any) -> Any:
    """GGUF interleaves the two halves of each rotary dimension; transformers concatenates them."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if heads is None:
        return weights
    return weights.reshape(heads, -1, 2, weights.shape[-1]).transpose(1, 2).reshape(weights.shape)
