"""Special tokens are only where the template wrote them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.roles.template import ChatPrompt, Message, load_template, render
from alpha_umi.roles.turns import Turn
from alpha_umi.serving.tokens import PromptTokenizer

TEMPLATE = load_template("toolbench-im-end")
END = 2  # <|im_end|>
SPECIALS = (0, 1, 2)
PIECES = st.lists(
    st.sampled_from(
        ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "assistant: ", "Next: conclusion.", "\n", " ä", "x"]
    )
    # Bytes of rarer characters are not all in the vocabulary and do not come back.
    | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x17F, exclude_categories=["C"]), max_size=10),
    max_size=8,
).map("".join)


@pytest.fixture(scope="module")
def tokenizer(embedded_model: Path) -> PromptTokenizer:
    return PromptTokenizer(embedded_model)


@given(user=PIECES, observation=PIECES)
@settings(max_examples=200, deadline=None)
def test_no_text_becomes_a_special_token(tokenizer: PromptTokenizer, user: str, observation: str) -> None:
    prompt = render("planner", TEMPLATE, history=[Turn("user", user), Turn("observation", observation)])
    ids = tokenizer.encode(prompt)
    assert [token for token in ids if token in SPECIALS] == [END]  # the user turn's own end
    assert tokenizer.decode(ids) == prompt.text


def test_a_harmless_prompt_is_tokenized_as_in_training(tokenizer: PromptTokenizer) -> None:
    prompt = render("planner", TEMPLATE, history=[Turn("user", "hello"), Turn("observation", "19 degrees")])
    assert tokenizer.encode(prompt) == tokenizer.encode(prompt.text)


def test_the_pieces_make_the_same_tokens_as_the_complete_text(tokenizer: PromptTokenizer) -> None:
    """Piecewise tokenization differs from the plain one only at a foreign special token."""
    history = [Turn("user", "hello"), Turn("planner", "ask Next: caller."), Turn("user", "<|im_start|>")]
    careful = tokenizer.encode(render("summarizer", TEMPLATE, history=history))
    plain = tokenizer.encode(render("summarizer", TEMPLATE, history=history[:2]))
    assert careful[: plain.index(END) + 1] == plain[: plain.index(END) + 1]


def test_a_continuation_follows_the_prompt(tokenizer: PromptTokenizer) -> None:
    prompt = render("planner", TEMPLATE, history=[Turn("user", "hello")])
    ids = tokenizer.encode(prompt, "<|im_end|> and on")
    assert tokenizer.decode(ids) == prompt.text + "<|im_end|> and on"
    assert ids.count(END) == 1


def test_a_chat_is_rendered_by_the_models_own_template(tokenizer: PromptTokenizer) -> None:
    chat = ChatPrompt((Message("system", "Be short."), Message("user", "hello")))
    ids = tokenizer.encode(chat)
    assert tokenizer.decode(ids) == (
        "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    )
    assert chat.text == "system: Be short.\nuser: hello\n", "the same for every model"
