"""Examples have the tokens of serving, and loss on the target only; a damaged folder is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alpha_umi.roles.template import load_template, render
from alpha_umi.roles.turns import Role, Turn
from alpha_umi.serving.tokens import PromptTokenizer
from training.errors import NoEndOfTurn, PreparedUnusable
from training.examples import (
    IGNORED,
    ROLES,
    SPLITS,
    DatasetRecord,
    Example,
    ExamplePrompt,
    examples_digest,
    examples_path,
    read_examples,
    read_record,
    tokenize,
    write_examples,
    write_record,
)

END = 2  # <|im_end|>


@pytest.fixture(scope="module")
def tokenizer(embedded_model: Path) -> PromptTokenizer:
    return PromptTokenizer(embedded_model)


def example(
    target: str = "It is warm.", *, observation: str = "19 degrees", template: str = "toolbench-im-end"
) -> Example:
    history = [Turn("user", "How warm is it?"), Turn("observation", observation)]
    prompt = render("summarizer", load_template(template), history=history)
    return Example(
        id="one/1/summarizer",
        source="made-up",
        trajectory="one",
        step=1,
        role="summarizer",
        instruction_sha256="0" * 64,
        prompt=ExamplePrompt(text=prompt.text, markers=prompt.markers, end_of_turn=prompt.end_of_turn),
        target=target,
    )


def test_the_prompt_is_tokenized_as_serving_does_and_only_the_target_is_learned(tokenizer: PromptTokenizer) -> None:
    made = example()
    tokens = tokenize(made, tokenizer)
    prompt = tokenizer.encode(made.prompt.as_prompt())
    assert list(tokens.input_ids[: len(prompt)]) == prompt
    assert tokenizer.decode(list(tokens.input_ids)) == made.prompt.text + made.target + "<|im_end|>"
    assert set(tokens.labels[: len(prompt)]) == {IGNORED}
    assert tokens.labels[len(prompt) :] == tokens.input_ids[len(prompt) :]
    assert tokens.input_ids[-1] == END


def test_special_tokens_of_users_and_tools_are_text(tokenizer: PromptTokenizer) -> None:
    tokens = tokenize(example("Say <|im_end|> twice.", observation="<|im_end|> <|im_start|>"), tokenizer)
    assert [token for token in tokens.input_ids if token in (0, 1, 2)] == [END, END]  # the user's turn and the target


def test_golden_texts_are_tokenized_as_one_text(golden: Path, tokenizer: PromptTokenizer) -> None:
    """The published training tokenizes prompt, then target with its end of turn; nothing else is learned."""
    end = load_template("toolbench-im-end").end_of_turn
    for line in map(json.loads, (golden / "prompts.jsonl").read_text(encoding="utf-8").splitlines()):
        text = line["prompt"].replace("</s>", end)
        markers = tuple(place for place in range(len(text)) if text.startswith(end, place))
        made = example(line["target"]).model_copy(
            update={"prompt": ExamplePrompt(text=text, markers=markers, end_of_turn=end)}
        )
        tokens = tokenize(made, tokenizer)
        learned = [label for label in tokens.labels if label != IGNORED]
        assert learned == tokenizer.encode(line["target"] + end)
        assert list(tokens.input_ids) == tokenizer.encode(text) + learned


def test_a_tokenizer_without_the_end_of_turn_is_refused(tokenizer: PromptTokenizer) -> None:
    with pytest.raises(NoEndOfTurn, match="'</s>'"):
        tokenize(example(template="toolbench"), tokenizer)


def record(digest: str) -> DatasetRecord:
    return DatasetRecord(
        mixture="made-up",
        seed=1,
        template="toolbench-im-end",
        template_digest="0" * 64,
        tokenizer_digest="0" * 64,
        context=2_048,
        digest=digest,
        sources={},
        tokens={},
        dev_tool_sets=(),
        trained_on=("0" * 64,),
        versions={},
    )


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    for split in SPLITS:
        for role in ROLES:
            write_examples(tmp_path, split, role, [example()] if role == "summarizer" else [])
    write_record(tmp_path, record(examples_digest(tmp_path)))
    return tmp_path


def test_a_folder_reads_back(prepared: Path) -> None:
    assert read_record(prepared).trained_on == ("0" * 64,)
    assert read_examples(prepared, "train", "summarizer") == [example()]
    assert read_examples(prepared, "dev", "planner") == []


def test_changed_examples_are_noticed(prepared: Path) -> None:
    write_examples(prepared, "dev", "summarizer", [example("It is cold.")])
    with pytest.raises(PreparedUnusable, match="not those that"):
        read_record(prepared)
    assert read_record(prepared, check_digest=False).mixture == "made-up"


@pytest.mark.parametrize(
    ("role", "line", "message"),
    [
        ("planner", '{"id": "x"', "line 2"),
        ("caller", '{"id": "x"}', "source: Field required"),
        ("caller", example().model_dump_json().replace('"role":"summarizer"', '"role":"oracle"'), "role: Input should"),
    ],
)
def test_a_broken_line_is_named(prepared: Path, role: Role, line: str, message: str) -> None:
    path = examples_path(prepared, "train", role)
    path.write_text(example().model_dump_json() + "\n" + line + "\n", encoding="utf-8")
    with pytest.raises(PreparedUnusable, match=message) as refused:
        read_examples(prepared, "train", role)
    assert f"{path}, line 2" in refused.value.message
    assert refused.value.remedy


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(PreparedUnusable, match=r"nowhere.dataset\.json cannot be read"):
        read_record(tmp_path / "nowhere")
