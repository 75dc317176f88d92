"""The exact prompts of a step, made again from what a run keeps of them: the template's name, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from alpha_umi.roles.template import Template, UnknownTemplate, load_template, render
from alpha_umi.roles.turns import Role, Turn
from evaluation.files.outputs import planner_turn
from evaluation.files.published import Pair
from evaluation.files.step_run import OutputRecord

Model = Mapping[str, Any]
SHORTENED: Final = "its history was shortened to fit the model's context"


class NoPrompt(ValueError):
    """A prompt cannot be made again; the text says why."""


def exact_prompt(pair: Pair, output: OutputRecord, models: Mapping[Role, Model]) -> str:
    """What the role was shown, to the letter: its digest is the one in the file. Raises `NoPrompt`."""
    history = pair.case.history
    if output.role in ("caller", "summarizer") and pair.prediction is not None:
        history = (*history, Turn("planner", planner_turn(pair.prediction)))
    thought = history[-1].content if output.role == "caller" and history else ""
    model = models.get(output.role, {})
    template = named_template(model)
    label = model.get("planner_label", "assistant")
    tools = pair.case.tools
    text = render(output.role, template, history=history, tools=tools, thought=thought, planner_label=label).text
    if hashlib.sha256(text.encode(errors="replace")).hexdigest() == output.prompt_sha256:
        return text
    if output.truncated:
        raise NoPrompt(SHORTENED)
    require_same_template(model, template)
    raise NoPrompt(f"with the template {template.name!r} of this version it has another digest than in the file")


def named_template(model: Model) -> Template:
    """The template of the name that a model tells. Raises `NoPrompt` without one, and where this version has none."""
    name = model.get("template")
    try:
        return load_template(str(name))
    except UnknownTemplate as error:
        message = f"this version has no template {name!r}" if name else "the file does not name its template"
        raise NoPrompt(message) from error


def require_same_template(model: Model, template: Template) -> None:
    """Raises `NoPrompt` where the manifest of a model tells another digest of the template."""
    manifest = model.get("manifest")
    digest = manifest.get("template_digest") if isinstance(manifest, dict) else None
    if digest is not None and digest != template.digest:
        raise NoPrompt(f"this version has another template {template.name!r}")
