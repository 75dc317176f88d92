"""The canary of a model: its answer to a fixed question, by which a service detects a wrong engine.

It is recorded with transformers, which is correct on every processor, from the files that will be served: the embedded
model in float32; a converted model in its stored dtype and of any size, layer by layer from disk if it exceeds the
memory.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psutil

from alpha_umi.serving.manifest import CanaryText
from alpha_umi.serving.weights.errors import CanaryUnsure

QUESTION = "What is the capital of France?"
# One answered question before it makes the small embedded model sure of every token of its answer.
PROMPT = f"""Question: What is the capital of Germany?
Answer: The capital of Germany is Berlin.
Question: {QUESTION}
Answer:"""
TOKENS = 8
# Minimum difference of the logits of the two best tokens for a choice that is the same in every dtype: half-precision
# logits of this size differ by some tenths.
SURE = 1.0
# The share of the free memory that a model may take; the rest of it stays on disk.
MEMORY_SHARE = 0.5


def write_canary(folder: Path, prompt: str = PROMPT, *, accept_unsure: bool = True) -> CanaryText:
    """The greedy continuation of a prompt by the model in a folder, as far as the model is sure of each token.

    With `accept_unsure`, if the model is not sure of the first token, the complete continuation is used. Raises
    `CanaryUnsure` for an empty result, and `OSError` or `ValueError` for a folder that transformers cannot load.
    """
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    with quiet_transformers():
        model: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    sure, complete = _answer(tokenizer, model, prompt)
    if not (expected := sure or (complete if accept_unsure else "")).strip():
        what = "is sure of nothing" if complete.strip() else "writes nothing"
        raise CanaryUnsure(f"the model in {folder} {what} after {prompt[-60:]!r}")
    return CanaryText(prompt=prompt, expected=expected)


def ask_canary(folder: Path, prompt: str, *, memory: int | None = None) -> CanaryText:
    """The greedy continuation of `prompt` by a model of any size, as far as it is sure of each token.

    `memory` is the model's limit in bytes. Raises `CanaryUnsure`, and `OSError` or `ValueError` for a
    folder that transformers cannot load.
    """
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    limit = memory or int(psutil.virtual_memory().available * MEMORY_SHARE)
    with _loaded(folder, limit) as model:
        sure, _ = _answer(tokenizer, model, prompt)
    if not sure:
        raise CanaryUnsure(
            f"the model is too undecided about how to go on after {prompt[-60:]!r}: name a prompt that it knows the "
            "answer to with --canary-prompt, or answer and prompt with --canary-expected as well"
        )
    return CanaryText(prompt=prompt, expected=sure)


def _answer(tokenizer: Any, model: Any, prompt: str) -> tuple[str, str]:
    """The greedy continuation of `prompt`: the part that the model is sure of (may be empty), and all of it."""
    inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    output = model.generate(
        **inputs, max_new_tokens=TOKENS, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    written = output.sequences[0, inputs["input_ids"].shape[1] :]
    # The last token can be a part of a character.
    sure = cast(str, tokenizer.decode(written[: _sure(output.logits)], skip_special_tokens=True)).rstrip("\ufffd")
    return sure if sure.strip() else "", cast(str, tokenizer.decode(written, skip_special_tokens=True))


def _sure(logits: tuple[Any, ...]) -> int:
    """The number of leading tokens that the model is sure of."""
    best = [step[0].float().topk(2).values for step in logits]
    unsure = [number for number, (first, second) in enumerate(best) if first - second < SURE]
    return unsure[0] if unsure else len(best)


@contextlib.contextmanager
def _loaded(folder: Path, memory: int) -> Iterator[Any]:
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory(prefix="alpha-umi-") as offload, quiet_transformers(), _quiet_offloading():
        yield AutoModelForCausalLM.from_pretrained(
            folder,
            dtype="auto",
            device_map="auto",
            max_memory={"cpu": memory},
            offload_folder=offload,
            local_files_only=True,
            trust_remote_code=False,
        )


@contextlib.contextmanager
def _quiet_offloading() -> Iterator[None]:
    """Silence accelerate's warnings about layers that stay on disk, which is intended."""
    logger = logging.getLogger("accelerate.big_modeling")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You are calling .generate")
            yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Disable the progress bars of transformers, beside our own."""
    from transformers.utils import logging as their_logging

    enabled = their_logging.is_progress_bar_enabled()
    their_logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            their_logging.enable_progress_bar()
