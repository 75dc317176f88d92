"""A prompt is shown where it is the very one whose digest the run has."""

from __future__ import annotations

import hashlib

from measured_steps import called, case_of, output_of

from alpha_umi.roles.template import load_template, render
from alpha_umi.roles.turns import RoleName, Turn
from evaluation.outputs import RoleText
from evaluation.pairs import pair
from evaluation.records import OutputRecord
from evaluation.reporting.prompts import exact_prompt

CASE = case_of()
PREDICTION = called("weather", '{"city": "Oslo"}')
MODELS: dict[RoleName, dict[str, str]] = {"planner": {"template": "toolbench"}, "caller": {"template": "toolbench"}}


def output(text: RoleText, prompt: str) -> OutputRecord:
    return output_of(text).model_copy(update={"prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest()})


def test_the_prompts_of_both_roles_are_made_again() -> None:
    planner, caller = PREDICTION.texts
    template, item = load_template("toolbench"), pair(CASE, PREDICTION)
    asked = render("planner", template, history=CASE.history, tools=CASE.tools).text
    assert exact_prompt(item, output(planner, asked), MODELS) == asked
    history = (*CASE.history, Turn("planner", planner.text))
    called_with = render("caller", template, history=history, tools=CASE.tools, thought=planner.text).text
    assert exact_prompt(item, output(caller, called_with), MODELS) == called_with
    assert planner.text in called_with
    # The label with which the published inference script names the newest turn.
    labelled = render(
        "caller", template, history=history, tools=CASE.tools, thought=planner.text, planner_label="planner"
    ).text
    models = MODELS | {"caller": {"template": "toolbench", "planner_label": "planner"}}
    assert exact_prompt(item, output(caller, labelled), models) == labelled != called_with


def test_any_other_prompt_is_not_shown() -> None:
    planner = PREDICTION.texts[0]
    item = pair(CASE, PREDICTION)
    assert exact_prompt(item, output(planner, "shortened"), MODELS) is None
    assert exact_prompt(item, output_of(planner), {"planner": {"template": "of nobody"}}) is None
    assert exact_prompt(item, output_of(planner), {}) is None
