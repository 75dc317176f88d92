"""The tokenizer of a published checkpoint: that it fits, and that it cuts text as it did when the model was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alpha_umi.roles.template import Template
from alpha_umi.serving.weights.checkpoint import TOKENIZER_CONFIG, VOCABULARIES, Checkpoint
from alpha_umi.serving.weights.errors import CheckpointUnusable

_SENTENCEPIECE, _FAST = "tokenizer.model", "tokenizer.json"


def check_tokenizer(checkpoint: Checkpoint, folder: Path, template: Template) -> None:
    """The tokenizer must fit the weights, and the template's end of turn must be one token of it.

    Raises `CheckpointUnusable`.
    """
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise CheckpointUnusable(
            f"{checkpoint.folder} holds no tokenizer; one of these is needed: {', '.join(VOCABULARIES)}"
        )
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a library for many formats raises for a bad file
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise CheckpointUnusable(f"its tokenizer cannot be loaded: {said}") from error
    room = checkpoint.config.get("vocab_size")
    # Tokens that were added later, for padding, need no place in the weights.
    if isinstance(room, int) and tokenizer.vocab_size > room:
        raise CheckpointUnusable(f"its tokenizer knows more tokens than the {room} of the model; fetch both again")
    if len(tokenizer(template.end_of_turn, add_special_tokens=False)["input_ids"]) != 1:
        raise CheckpointUnusable(
            f"the template {template.name} ends turns with {template.end_of_turn!r}, which is no token of this model; "
            "name the template that it was trained in with --template"
        )


def keep_meaning(folder: Path) -> None:
    """Say `legacy` in the settings of a Llama tokenizer that do not say whether it is.

    Until version 4 of the transformers library that meant yes, and the word after each `</s>` began with the mark of a
    blank; from version 5 on it means no, and each such word would be cut otherwise than the model has learned it.
    """
    path = folder / TOKENIZER_CONFIG
    if not path.is_file() or not (folder / _SENTENCEPIECE).is_file() or (folder / _FAST).is_file():
        return
    settings = json.loads(path.read_bytes())
    if settings.get("tokenizer_class") in ("LlamaTokenizer", "LlamaTokenizerFast") and settings.get("legacy") is None:
        path.write_text(json.dumps({**settings, "legacy": True}, indent=2) + "\n", encoding="utf-8")
