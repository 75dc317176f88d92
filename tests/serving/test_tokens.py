"""Special tokens are only where the template wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_umi.roles.chat import render_chat
from alpha_umi.roles.template import ChatPrompt, ChatTemplate, Message, load_any_template, load_template, render
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.tokens import PromptTokenizer

TEMPLATE = load_template("toolbench-im-end")
CHAT = cast(ChatTemplate, load_any_template("chat"))
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
    text = "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(tokenizer.encode(chat)) == tokenizer.text_of(chat) == text
    assert chat.text == "system: Be short.\nuser: hello\n", "the same for every model"


@given(user=PIECES, observation=PIECES)
@settings(max_examples=200, deadline=None)
def test_no_text_in_a_chat_becomes_a_special_token(tokenizer: PromptTokenizer, user: str, observation: str) -> None:
    chat = render_chat("planner", CHAT, history=[Turn("user", user), Turn("observation", observation)])
    ids = tokenizer.encode(chat)
    assert [token for token in ids if token in SPECIALS] == [1, END, 1, END, 1], "system, user, and the answer's begin"
    assert tokenizer.decode(ids) == tokenizer.text_of(chat)


def test_a_chat_goes_on_with_the_text_that_the_model_has_begun(tokenizer: PromptTokenizer) -> None:
    chat = ChatPrompt(
        (Message("system", "Be short."), Message("user", "hello"), Message("assistant", "I <|im_end|>\n"))
    )
    text = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nI <|im_end|>\nand on"
    ids = tokenizer.encode(chat, "and on")
    assert tokenizer.decode(ids).endswith(text)
    assert [token for token in ids if token in SPECIALS] == [1, END, 1, END, 1]
    assert chat.text == "system: Be short.\nuser: hello\nassistant: I <|im_end|>\n"


def test_planner_and_caller_share_the_tokens_before_the_task(tokenizer: PromptTokenizer) -> None:
    tool = Tool("thermometer", "Temperature now", {"type": "object", "properties": {"city": {"type": "string"}}})
    history = [Turn("user", "How warm?"), Turn("planner", "Ask. Next: caller."), Turn("observation", "19 <|im_end|>")]
    called = [*history, Turn("planner", "Once more. Next: caller.")]
    planner = tokenizer.encode(render_chat("planner", CHAT, history=history, tools=[tool]))
    caller = tokenizer.encode(render_chat("caller", CHAT, history=called, tools=[tool]))
    shared = next(place for place, pair in enumerate(zip(planner, caller, strict=False)) if pair[0] != pair[1])
    assert tokenizer.decode(planner[:shared]).endswith("<|im_start|>user\nResult:\n19 <|im_end|>")
    assert tokenizer.decode(planner[shared:]).startswith("\n\nTask: ")
    assert tokenizer.decode(caller[shared:]).endswith("<|im_start|>assistant\nOnce more.\n")
