"""A prompt is shown only if its digest is the one in the run."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.measured_steps import called, case_of, output_of, run_of

from alpha_umi.roles.chat import render_prompt
from alpha_umi.roles.template import load_any_template, load_template, render
from alpha_umi.roles.turns import Role, Turn
from evaluation.files.outputs import RoleText
from evaluation.files.published import pair
from evaluation.files.step_run import OutputRecord, PredictionRecord, write_run
from evaluation.page.blocks import Paragraph
from evaluation.reporting.inputs import BootstrapOptions, StepsRun, read_runs
from evaluation.reporting.prompts import NoPrompt, exact_prompt
from evaluation.reporting.step_examples import step_fold

CASE = case_of()
PREDICTION = called("weather", '{"city": "Oslo"}')
MODELS: dict[Role, dict[str, Any]] = {"planner": {"template": "toolbench"}, "caller": {"template": "toolbench"}}


def output(text: RoleText, prompt: str) -> OutputRecord:
    return output_of(text).model_copy(update={"prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest()})


def test_the_prompts_of_both_roles_are_made_again() -> None:
    planner, caller = PREDICTION.texts
    template, item = load_template("toolbench"), pair(CASE, PREDICTION)
    requests = render("planner", template, history=CASE.history, tools=CASE.tools).text
    assert exact_prompt(item, output(planner, requests), MODELS) == requests
    history = (*CASE.history, Turn("planner", planner.text))
    called_with = render("caller", template, history=history, tools=CASE.tools).text
    assert exact_prompt(item, output(caller, called_with), MODELS) == called_with
    assert planner.text in called_with
    # The label with which the published inference script names the newest turn.
    labelled = render("caller", template, history=history, tools=CASE.tools, planner_label="planner").text
    models = MODELS | {"caller": {"template": "toolbench", "planner_label": "planner"}}
    assert exact_prompt(item, output(caller, labelled), models) == labelled != called_with


def test_a_chat_is_made_again_as_its_messages() -> None:
    requests = render_prompt("planner", load_any_template("chat"), history=CASE.history, tools=CASE.tools).text
    message = output(PREDICTION.texts[0], requests)
    assert exact_prompt(pair(CASE, PREDICTION), message, {"planner": {"template": "chat"}}) == requests


def manifest(digest: str) -> dict[Role, dict[str, Any]]:
    return {"planner": {"template": "toolbench", "manifest": {"template_digest": digest}}}


ANOTHER = "with the template 'toolbench' of this version it has another digest than in the file"
WHY: dict[str, tuple[dict[Role, dict[str, Any]], str]] = {
    "no name": ({"planner": {}}, "the file does not name its template"),
    "no model": ({}, "the file does not name its template"),
    "unknown": ({"planner": {"template": "of nobody"}}, "this version has no template 'of nobody'"),
    "another text by its digest": (manifest("0" * 64), "this version has another template 'toolbench'"),
    "another version": (
        {"planner": {"template": "toolbench", "template_version": 7}},
        "this version has another template 'toolbench'",
    ),
    "of before versions": ({"planner": {"template": "chat"}}, "this version has another template 'chat'"),
    "another text, no digest": (MODELS, ANOTHER),
    "the same template, another text": (manifest(load_template("toolbench").digest), ANOTHER),
}


@pytest.mark.parametrize(("models", "why"), WHY.values(), ids=WHY)
def test_any_other_prompt_is_replaced_by_the_reason(
    models: dict[Role, dict[str, Any]], why: str, tmp_path: Path
) -> None:
    message = output(PREDICTION.texts[0], "as it was before the template was changed")
    with pytest.raises(NoPrompt) as refused:
        exact_prompt(pair(CASE, PREDICTION), message, models)
    assert str(refused.value) == why
    run = run_of([pair(CASE, PREDICTION)])
    predictions = (PredictionRecord.of(CASE.id, [message]),)
    write_run(
        tmp_path / "run", replace(run, about=run.about.model_copy(update={"models": models}), predictions=predictions)
    )
    (read,) = read_runs([tmp_path / "run"], BootstrapOptions(100))
    assert isinstance(read, StepsRun)
    assert Paragraph(f"The planner's prompt cannot be rebuilt: {why}.") in step_fold(read, 0, "right").blocks


def test_a_shortened_history_is_the_reason_where_the_template_is_there() -> None:
    message = output(PREDICTION.texts[0], "shortened").model_copy(update={"truncated": True})
    with pytest.raises(NoPrompt, match="its history was shortened to fit the model's context"):
        exact_prompt(pair(CASE, PREDICTION), message, manifest("0" * 64))


def test_a_prompt_of_the_very_digest_is_shown_though_the_template_changed_elsewhere() -> None:
    requests = render("planner", load_template("toolbench"), history=CASE.history, tools=CASE.tools).text
    message = output(PREDICTION.texts[0], requests)
    assert exact_prompt(pair(CASE, PREDICTION), message, manifest("0" * 64)) == requests
