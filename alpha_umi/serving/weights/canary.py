"""What a model writes for a fixed question: the text that tells a right engine from a wrong one.

It is recorded with transformers in float32, which is right on every processor, from the files that will be served.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from alpha_umi.serving.manifest import CanaryText

QUESTION = "What is the capital of France?"
TOKENS = 8


def write_canary(folder: Path) -> CanaryText:
    """Ask the model in a folder, greedily, for the first tokens of its answer to `QUESTION`.

    Raises `OSError` or `ValueError` for a folder that transformers cannot load.
    """
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    with quiet_transformers():
        model: Any = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], tokenize=False, add_generation_prompt=True
    )
    inputs = tokenizer(prompt, return_tensors="pt")
    written = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    return CanaryText(prompt=prompt, expected=cast(str, tokenizer.decode(written, skip_special_tokens=True)))


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' own progress bars off the terminal, where ours stands."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
