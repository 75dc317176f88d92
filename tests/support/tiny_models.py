"""A tiny random Llama with the first tokens of the embedded model, and a LoRA adapter for each role.

The backbone generates nonsense. With an adapter it generates one sentence of that role, by such a margin that no
rounding changes it. All of them are made within seconds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from alpha_umi.roles.template import load_template, render
from alpha_umi.roles.turns import Role, Tool, Turn
from alpha_umi.serving.manifest import CanaryText, ModelManifest, load_manifest, write_manifest
from alpha_umi.serving.weights import ensure_role_model
from alpha_umi.serving.weights.adapters import FAMILY
from alpha_umi.serving.weights.canary import PROMPT, quiet_transformers

ROLES: tuple[Role, ...] = ("planner", "caller", "summarizer")
CONTEXT = 4_096
TEMPLATE = "toolbench-im-end"
QUESTION = Turn("user", "How warm is it in Oslo?")
TOOL = Tool(
    "current_temperature",
    "Temperature of a city now",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
RANKS = {"planner": 4, "caller": 8, "summarizer": 6}
# What each role writes; the planner something else once it has seen an observation.
SENTENCES = {
    "planner": ("I look up the temperature in Oslo. Next: caller", "It is known. Next: conclusion"),
    "caller": ('Action: current_temperature\nAction Input: {"city": "Oslo"}',),
    "summarizer": ("It is warm there, and nobody needs a coat today.",),
}
OBSERVATION = '{"city":"Oslo","celsius":19.5}'
LEARNING_RATE = 5e-3
LEARNED = 0.01
MOST_STEPS = 200
PLACEHOLDER = CanaryText(prompt=PROMPT, expected="?")


@dataclass(frozen=True)
class TinyModels:
    """Folders: the backbone, one that holds an adapter for each role, and each role's merged model."""

    backbone: Path
    adapters: Path
    merged: dict[Role, Path]


def manifest(role: Role, *, base: str = "tiny") -> ModelManifest:
    """The manifest of a tiny model, without canary and digests."""
    return ModelManifest(
        name="tiny" if role == "backbone" else f"tiny-{role}",
        role=role,
        template=TEMPLATE,
        context=CONTEXT,
        base=base,
        canary=PLACEHOLDER,
        source="random numbers of a test",
    )


def make_tiny_models(folder: Path, embedded_model: Path) -> TinyModels:
    """Write all of them into `folder`, in float32."""
    backbone, models = folder / "backbone", folder / "models"
    # With every token of the embedded model a text at a high temperature never comes upon the end of a turn.
    write_backbone(backbone, embedded_model, tokens=49_152)
    merged = {}
    for seed, role in enumerate(ROLES, start=1):
        adapter = models / FAMILY / role
        _write_adapter(adapter, backbone, role, seed)
        merged[role] = ensure_role_model(role, folder, models, backbone)
        # What the merged model wrote is what the adapter on the backbone has to write.
        canary = load_manifest(merged[role]).canary
        write_manifest(adapter, load_manifest(adapter).model_copy(update={"canary": canary}))
    return TinyModels(backbone, models / FAMILY, merged)


def write_backbone(folder: Path, embedded_model: Path, *, tokens: int = 8_192) -> None:
    """Write a random Llama with the first tokens of the embedded model's tokenizer."""
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    _write_tokenizer(folder, embedded_model, tokens)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        dtype=torch.float32,
    )
    model = LlamaForCausalLM(config)
    model.lm_head.weight.data *= 10  # logits far apart
    with quiet_transformers():
        model.save_pretrained(folder)
    write_manifest(folder, manifest("backbone"))


def _write_tokenizer(folder: Path, embedded_model: Path, tokens: int) -> None:
    """Special tokens, bytes and the first merges: it loads in a fiftieth of the time, and makes small layers."""
    shutil.copyfile(embedded_model / "tokenizer_config.json", folder / "tokenizer_config.json")
    definition = json.loads((embedded_model / "tokenizer.json").read_bytes())
    model = definition["model"]
    vocabulary = {token: number for token, number in model["vocab"].items() if number < tokens}
    merges = [pair for pair in model["merges"] if {*pair, "".join(pair)} <= vocabulary.keys()]
    model |= {"vocab": vocabulary, "merges": merges}
    (folder / "tokenizer.json").write_text(json.dumps(definition), encoding="utf-8")


def _write_adapter(folder: Path, backbone: Path, role: Role, seed: int) -> None:
    torch.manual_seed(seed)
    base = LlamaForCausalLM.from_pretrained(backbone, dtype=torch.float32)
    rank = RANKS[role]
    model = get_peft_model(base, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))
    _teach(model, _exercises(role, AutoTokenizer.from_pretrained(backbone)))
    model.save_pretrained(folder)
    write_manifest(folder, manifest(role))


def lessons(role: Role) -> list[tuple[str, str]]:
    """Prompts of a role and what it has learned to write: after the question, and after an observation."""
    first, then = SENTENCES[role][0], SENTENCES[role][-1]
    thought, call = Turn("planner", f"{SENTENCES['planner'][0]}."), Turn("caller", SENTENCES["caller"][0])
    prompted, observed = [QUESTION], [QUESTION, thought, call, Turn("observation", OBSERVATION)]
    if role == "caller":
        prompted, observed = [*prompted, thought], [*observed, thought]
    return [(_prompt(role, prompted), first), (_prompt(role, observed), then)]


def _prompt(role: Role, history: Sequence[Turn]) -> str:
    tools = () if role == "summarizer" else (TOOL,)
    return render(role, load_template(TEMPLATE), history=history, tools=tools).text


def _exercises(role: Role, tokenizer: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Token ids with the sentence at their end, and the ids that are to be written."""
    taught = [*lessons(role), (PROMPT, SENTENCES[role][0])]
    prompted = [tokenizer(prompt, return_tensors="pt")["input_ids"] for prompt, _ in taught]
    written = [tokenizer(f"{text}<|im_end|>", return_tensors="pt")["input_ids"] for _, text in taught]
    return [(torch.cat(pair, dim=1), pair[1]) for pair in zip(prompted, written, strict=True)]


def _teach(model: Any, exercises: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> None:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=LEARNING_RATE)
    for _ in range(MOST_STEPS):
        losses = [_loss(model, ids, written) for ids, written in exercises]
        sum(losses).backward()
        optimizer.step()
        optimizer.zero_grad()
        if max(loss.item() for loss in losses) < LEARNED:
            return
    raise AssertionError(f"the adapter did not learn its sentence: {losses}")


def _loss(model: Any, ids: torch.Tensor, written: torch.Tensor) -> Any:
    logits = model(ids, logits_to_keep=written.shape[1] + 1).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), written.flatten())
