"""Rebuild the exact prompts of a step from the records of a run: the template's name, and the prompts' digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from alpha_umi.roles.chat import render_prompt
from alpha_umi.roles.template import AnyTemplate, Template, UnknownTemplate, load_any_template
from alpha_umi.roles.turns import Role, Turn
from evaluation.files.outputs import planner_turn
from evaluation.files.published import Pair
from evaluation.files.step_run import OutputRecord

Model = Mapping[str, Any]
SHORTENED: Final = "its history was shortened to fit the model's context"


class NoPrompt(ValueError):
    """A prompt cannot be rebuilt; the message has the reason."""


def exact_prompt(pair: Pair, output: OutputRecord, models: Mapping[Role, Model]) -> str:
    """The exact prompt of a role: its digest equals the recorded one. Raises `NoPrompt`."""
    history = pair.case.history
    if output.role in ("caller", "summarizer") and pair.prediction is not None:
        history = (*history, Turn("planner", planner_turn(pair.prediction)))
    model = models.get(output.role, {})
    template = named_template(model)
    label = model.get("planner_label", "assistant")
    tools = pair.case.tools
    text = render_prompt(output.role, template, history=history, tools=tools, planner_label=label).text
    if hashlib.sha256(text.encode(errors="replace")).hexdigest() == output.prompt_sha256:
        return text
    if output.truncated:
        raise NoPrompt(SHORTENED)
    require_same_template(model, template)
    raise NoPrompt(f"with the template {template.name!r} of this version it has another digest than in the file")


def named_template(model: Model) -> AnyTemplate:
    """The template that a model names. Raises `NoPrompt` for a missing or unknown name."""
    name = model.get("template")
    try:
        return load_any_template(str(name))
    except UnknownTemplate as error:
        message = f"this version has no template {name!r}" if name else "the file does not name its template"
        raise NoPrompt(message) from error


def require_same_template(model: Model, template: AnyTemplate) -> None:
    """Raises `NoPrompt` if the model was trained with or served with another version of the template."""
    manifest = model.get("manifest")
    digest = manifest.get("template_digest") if isinstance(manifest, dict) else None
    other_digest = isinstance(template, Template) and digest not in (None, template.digest)
    if other_digest or model.get("template_version", 1) != template.version:
        raise NoPrompt(f"this version has another template {template.name!r}")
