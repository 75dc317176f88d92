"""Chat templates of several families, and those that must not harm a service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from alpha_umi.roles.template import ChatPrompt, Message
from alpha_umi.serving import chat_format
from alpha_umi.serving.chat_format import ChatTemplateUnusable, derive_formats, read_chat_formats
from alpha_umi.serving.tokens import PromptTokenizer

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
CHAT = ChatPrompt(
    (
        Message("system", "You help."),
        Message("user", "How warm is it?"),
        Message("assistant", "I ask. Next: caller.\n\nAction: t\nAction Input: {}"),
        Message("user", 'Result:\n{"degrees": 19}\n\nTask: go on.'),
    )
)
# Each in the manner of a family.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRIMMED = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}<|end|>\n\n{{ m.content | trim }}<|eot|>{% endfor %}"
    "{% if tools is not none %}{{ raise_exception('no tools here') }}{% endif %}"
    "{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}"
)
REFUSES_SYSTEM = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}"
    "{% endif %}<turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content }}</turn>\n{% endfor %}"
    "<turn>model\n"
)
SYSTEM_IN_THE_LAST_MESSAGE = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set s = messages[0].content %}{% set ms = messages[1:] %}"
    "{% else %}{% set ms = messages %}{% endif %}{% for m in ms %}{% if m.role == 'user' %}[INST] "
    "{% if loop.last and s is defined %}{{ s }}\n\n{% endif %}{{ m.content }}[/INST]{% else %} {{ m.content }}"
    "{{ eos_token }}{% endif %}{% endfor %}"
)
IGNORES_SYSTEM = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
THINKS_IF_ALLOWED = CHATML[:-11] + "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
ALWAYS_THINKS = CHATML[:-11] + "<think>\n{% endif %}"


def rendered(template: str, messages: list[tuple[str, str]], **options: Any) -> str:
    """As transformers renders it."""
    conversation = [{"role": role, "content": content} for role, content in messages]
    texts, _ = render_jinja_template([conversation], chat_template=template, add_generation_prompt=True, **options)
    return str(texts[0])


def composed(template: str, *, thinking: bool = False) -> str:
    return "".join(piece.text for piece in derive_formats(template, TOKENS)[thinking].pieces(CHAT))


@pytest.mark.parametrize("template", [CHATML, TRIMMED, THINKS_IF_ALLOWED])
@pytest.mark.parametrize("thinking", [False, True])
def test_the_format_writes_what_the_template_writes(template: str, thinking: bool) -> None:
    messages = [(message.role, message.content) for message in CHAT.messages]
    assert composed(template, thinking=thinking) == rendered(template, messages, enable_thinking=thinking, **TOKENS)


@pytest.mark.parametrize("template", [REFUSES_SYSTEM, SYSTEM_IN_THE_LAST_MESSAGE, IGNORES_SYSTEM])
def test_without_a_place_for_it_the_system_text_begins_the_first_message(template: str) -> None:
    system, first, *others = CHAT.messages
    messages = [("user", f"{system.content}\n\n{first.content}"), *((each.role, each.content) for each in others)]
    assert composed(template) == rendered(template, messages, **TOKENS)


def test_a_block_that_the_template_begins_is_closed_without_thinking_and_left_to_the_model_with_it() -> None:
    assert composed(ALWAYS_THINKS).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert composed(ALWAYS_THINKS, thinking=True).endswith("<|im_start|>assistant\n")


@dataclass
class Tokenizer:
    """What the format is read from."""

    chat_template: str

    special_tokens_map = TOKENS

    def get_chat_template(self) -> str:
        return self.chat_template


def test_the_format_is_read_in_a_process_of_its_own() -> None:
    assert list(read_chat_formats(Path("m"), Tokenizer(CHATML)).values()) == derive_formats(CHATML, TOKENS)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "it may loop"),
        ("{{ 'x' * 99999999999 }}", "it may loop"),
        ("{{ raise_exception('not today') }}", "cannot write a conversation: not today"),
        ("{% for m in messages %}", "cannot write a conversation: Unexpected end of template"),
        ("{{ raise_exception('two\nlines \x1b[1m') }}", r"cannot write a conversation: two lines ␛\[1m"),
        ("{{ 'x' * 100001 }}" + CHATML, "writes more than 100000 characters around six messages"),
        ("{{ messages.__class__ }}{{ ''.__class__.__mro__ }}", "cannot write a conversation"),
        (
            "{% for m in messages %}{{ loop.index }}: {{ m.content }}\n{% endfor %}",
            "does not put the same texts around all messages",
        ),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, template: str, reason: str) -> None:
    monkeypatch.setattr(chat_format, "CPU_S", 1)
    with pytest.raises(ChatTemplateUnusable, match=f"^models/m: its chat template .*{reason}") as refused:
        read_chat_formats(Path("models/m"), Tokenizer(template))
    assert "name another instruct model" in str(refused.value)


def test_a_process_that_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_format, "CPU_S", "x")
    with pytest.raises(ChatTemplateUnusable, match="its chat template cannot be run: TypeError"):
        read_chat_formats(Path("m"), Tokenizer(CHATML))


@pytest.mark.parametrize(
    ("templates", "reason"),
    [
        (None, "its tokenizer has no chat template, so it is no instruct model"),
        ({"rag": CHATML, "tool_use": CHATML}, r"none of its chat templates \(rag, tool_use\) is named default"),
    ],
)
def test_a_model_without_a_chat_template_is_refused(
    embedded_model: Path, tmp_path: Path, templates: dict[str, str] | None, reason: str
) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((embedded_model / name).read_bytes())
    tokenizer = PromptTokenizer(tmp_path)
    tokenizer._tokenizer.chat_template = templates
    with pytest.raises(ChatTemplateUnusable, match=reason):
        tokenizer.encode(CHAT)
