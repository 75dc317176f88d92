"""Role examples are those of the published preprocessing, and fit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alpha_umi.roles.backbone import parse_step
from alpha_umi.roles.planner import parse_plan, write_plan
from alpha_umi.roles.template import load_template, render
from alpha_umi.roles.turns import Tool, Turn
from alpha_umi.serving.tokens import PromptTokenizer
from recordings.formats.toolbench import PublishedTool, PublishedTurn, history_of, tool_of
from recordings.trajectory import NOT_OFFERED, RecordedTrajectory
from training.role_examples import REPEATED, VERIFIED_COUNTS, Fitting, Measured, PromptCounter, learnable, role_steps

TIDE = Tool("tide", "Tides", {"type": "object", "properties": {"harbour": {"type": "string"}}})
CALL = Turn("caller", 'Action: tide\nAction Input: {\n  "harbour": "Nes"\n}')
ROOM = 1_000_000


@pytest.fixture(scope="module")
def tokenizer(embedded_model: Path) -> PromptTokenizer:
    return PromptTokenizer(embedded_model)


def trajectory(*turns: Turn, tools: tuple[Tool, ...] = (TIDE,)) -> RecordedTrajectory:
    return RecordedTrajectory("one", tools, (Turn("user", "When is high tide?"), *turns))


def made(
    recorded: RecordedTrajectory, tokenizer: PromptTokenizer, *, context: int = ROOM, template: str = "toolbench-im-end"
) -> list[Measured | None]:
    fitting = Fitting(load_template(template), tokenizer, context)
    cases = learnable(recorded, Counter())
    return [fitting.example("here", recorded, case, step) for case in cases for step in role_steps(recorded, case)]


def following(role: str, target: str) -> tuple[Turn, ...]:
    """The turns of the published data from a golden step on."""
    if role == "backbone":
        step = parse_step(target)
        plan = Turn("planner", write_plan(step.lead.removesuffix("\n"), step.next))
        text = step.call.text if step.call else step.answer
        return (plan, Turn("caller" if step.call else "conclusion", text or ""))
    if role == "planner":
        results = {"caller": CALL, "conclusion": Turn("conclusion", "At nine."), "give up": None}
        result = results[parse_plan(target).next]
        return (Turn("planner", target), *((result,) if result else ()))
    return (Turn("caller" if role == "caller" else "conclusion", target),)


def golden_example(line: dict[str, Any], tokenizer: PromptTokenizer) -> Measured:
    history = history_of([PublishedTurn.model_validate(turn) for turn in line["history"]])
    # The tool that `following` calls is added behind the others, where the prompt shows it: so only for planners.
    tools = tuple(tool_of(PublishedTool.model_validate(tool)) for tool in line["tools"])
    recorded = RecordedTrajectory("golden", tools, (*history, *following(line["role"], line["target"])))
    fitting = Fitting(load_template("toolbench"), tokenizer, ROOM)
    steps = [
        fitting.example("golden", recorded, case, step)
        for case in _all_cases(recorded)
        for step in role_steps(recorded, case)
        if step.role == line["role"]
    ]
    assert steps[-1] is not None
    return steps[-1]


def _all_cases(recorded: RecordedTrajectory) -> Any:
    from recordings.cases import step_cases

    return step_cases(recorded)


def test_prompts_and_targets_are_the_published_ones(golden: Path, tokenizer: PromptTokenizer) -> None:
    lines = [json.loads(line) for line in (golden / "prompts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 24
    for line in lines:
        example = golden_example(line, tokenizer).example
        assert (example.prompt.text, example.target) == (line["prompt"], line["target"])


def test_what_each_role_learns_from_a_trajectory(tokenizer: PromptTokenizer) -> None:
    recorded = trajectory(
        Turn("planner", "I look. Next: caller."),
        CALL,
        Turn("observation", "nine"),
        Turn("planner", "Known. Next: conclusion."),
        Turn("conclusion", "At nine."),
        Turn("user", "And on the moon?"),
        Turn("planner", "No. Next: give up."),
    )
    examples = [each.example for each in made(recorded, tokenizer) if each]
    assert [(each.step, each.role, each.target) for each in examples] == [
        (1, "backbone", f"I look.\n{CALL.content}"),
        (1, "planner", "I look. Next: caller."),
        (1, "caller", CALL.content),
        (2, "backbone", "Known.\nconclusion: At nine."),
        (2, "planner", "Known. Next: conclusion."),
        (2, "summarizer", "At nine."),
        (3, "backbone", "No.\nconclusion: give up."),
        (3, "planner", "No. Next: give up."),
    ]
    assert len({each.id for each in examples}) == len(examples)


def test_a_missing_answer_is_for_the_planner_alone(tokenizer: PromptTokenizer) -> None:
    recorded = trajectory(Turn("planner", "Done. Next: conclusion."), Turn("conclusion", "none"))
    assert [each.example.role for each in made(recorded, tokenizer) if each] == ["planner"]


def test_calls_of_tools_that_are_not_on_offer_are_not_learned() -> None:
    dropped: Counter[str] = Counter()
    recorded = trajectory(Turn("planner", "I look. Next: caller."), CALL, tools=(Tool("weather"),))
    assert list(learnable(recorded, dropped)) == []
    assert dropped == {NOT_OFFERED: 1}


def test_calls_that_bring_nothing_new_are_not_learned() -> None:
    plan, nine, ten = Turn("planner", "I look. Next: caller."), Turn("observation", "nine"), Turn("observation", "ten")
    spaced = Turn("caller", 'Action: tide\nAction Input: {"harbour": "Nes"}')
    dropped: Counter[str] = Counter()
    # The third repeats the first; the second, a retry, brought something else.
    recorded = trajectory(*(turn for result in (nine, ten, nine) for turn in (plan, spaced, result)), plan, CALL)
    assert [case.step for case in learnable(recorded, dropped)] == [1, 2, 4]
    assert dropped == {REPEATED: 1}


def test_a_long_history_is_shortened_as_in_serving(tokenizer: PromptTokenizer) -> None:
    recorded = trajectory(
        Turn("planner", "I look. Next: caller."),
        CALL,
        Turn("observation", "low and high " * 500),
        Turn("planner", "Known. Next: conclusion."),
        Turn("conclusion", "At nine."),
    )
    measured = [each for each in made(recorded, tokenizer, context=400) if each]
    shortened = [each for each in measured if each.shortened]
    assert [(each.example.step, each.example.role) for each in shortened] == [
        (2, "backbone"),
        (2, "planner"),
        (2, "summarizer"),
    ]
    for each in shortened:
        assert "characters left out ...]" in each.example.prompt.text
        assert each.full_prompt > 1_500
        assert each.prompt == len(tokenizer.encode(each.example.prompt.as_prompt()))
        assert each.prompt + each.target <= 400


def test_what_cannot_be_made_to_fit_is_no_example(tokenizer: PromptTokenizer) -> None:
    recorded = trajectory(Turn("planner", "I think " * 300 + "Next: give up."))
    assert made(recorded, tokenizer, context=256) == [None, None]


def test_counts_of_pieces_equal_those_of_full_prompts(tokenizer: PromptTokenizer) -> None:
    count = PromptCounter(tokenizer)
    texts = ["hello", "<|im_end|> there", "ä ö", "", "tide\n\n tide", "assistant: no"]
    for number in range(VERIFIED_COUNTS + 12):
        history = [Turn("user", texts[number % 6]), Turn("planner", texts[(number + 1) % 6]), Turn("observation", "x ")]
        prompt = render("planner", load_template("toolbench-im-end"), history=history * (number % 3 + 1))
        assert count(prompt) == len(tokenizer.encode(prompt))
    assert count.by_pieces


def test_a_tokenizer_whose_pieces_differ_counts_full_prompts() -> None:
    class Prefixing:
        """Adds one token before every text, as some tokenizers do."""

        def encode(self, prompt: Any) -> list[int]:
            return [0] * (1 + len(getattr(prompt, "text", prompt)))

        def count(self, text: str) -> int:
            return 1 + len(text)

    count = PromptCounter(Prefixing())  # type: ignore[arg-type]
    prompt = render("planner", load_template("toolbench"), history=[Turn("user", "a")])
    assert [count(prompt), count(prompt)] == [1 + len(prompt.text)] * 2
    assert not count.by_pieces
