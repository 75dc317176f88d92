"""A real Llama checkpoint in the published layout, small enough to be made in seconds.

A SentencePiece tokenizer (`tokenizer.model`), two layers, and weights that were trained on one sentence, saved with
`torch.save` in two shards with an index.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

PROMPT = "Say it."
SENTENCE = "The capital is Paris."
CONTEXT = 512
_WORDS = (
    "You have assess to the following apis: The conversation history is: user assistant caller observation conclusion "
    "The thought of the next step, followed by Next: caller or conclusion or give up. Action: Action Input: {} "
    "The capital of France is Paris. What is the capital of France? Say it. 0123456789"
)


def make_checkpoint(folder: Path, **config: Any) -> Path:
    """Write the checkpoint into a new folder. Memory and time are those of a toy."""
    folder.mkdir(parents=True)
    write_tokenizer(folder)
    model = trained(folder, LlamaConfig(**tiny_config() | config))
    model.config.save_pretrained(folder)
    save_shards(folder, dict(model.state_dict()))
    return folder


def tiny_config() -> dict[str, Any]:
    """The shape of the model."""
    return {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "architectures": ["LlamaForCausalLM"],
        "torch_dtype": "float32",
    }


def write_tokenizer(folder: Path) -> None:
    """A SentencePiece model with the special tokens of Llama, and the files that published models carry beside it."""
    text = folder / "text"
    text.write_text("\n".join([_WORDS] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    text.unlink()
    (folder / "tokenizer.vocab").unlink()
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    settings = {"tokenizer_class": "LlamaTokenizer", "model_max_length": CONTEXT, "add_bos_token": True, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def trained(folder: Path, config: LlamaConfig) -> Any:
    """A model that continues `PROMPT` with `SENTENCE` with high confidence."""
    torch.manual_seed(0)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model: Any = LlamaForCausalLM(config)
    ids = tokenizer(f"{PROMPT} {SENTENCE}{tokenizer.eos_token}", return_tensors="pt")["input_ids"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def save_shards(folder: Path, tensors: Mapping[str, torch.Tensor], *, legacy: bool = False) -> None:
    """Two shards with an index, as the published models have them."""
    names = sorted(tensors)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    index: dict[str, str] = {}
    for number, half in enumerate(halves, start=1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        shard = {name: tensors[name] for name in half}
        torch.save(shard, folder / file, _use_new_zipfile_serialization=not legacy)
        index |= dict.fromkeys(half, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
