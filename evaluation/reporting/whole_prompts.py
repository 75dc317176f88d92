"""The prompts of a whole trajectory, made again from its events by the machine that asked for them.

The machine says who was asked when, and with which history; the tools are those that the file keeps, the template is
the one that the role's model names. Only what was shortened to fit, which takes the model's tokenizer, is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alpha_umi.contract.roles import as_history, as_turns
from alpha_umi.roles.backbone import ANSWER
from alpha_umi.roles.fitting import fit
from alpha_umi.roles.turns import Role, Tool, Turn
from alpha_umi.trajectory import (
    AnswerWritten,
    AskBackbone,
    AskCaller,
    AskPlanner,
    AskSummarizer,
    BackboneUnreadable,
    CallMade,
    CallUnreadable,
    Event,
    PlannerDecided,
    PlannerUnreadable,
    State,
    StepTaken,
    effect_of,
    planner_history,
)
from evaluation.reporting.prompts import SHORTENED, Model, NoPrompt, named_template, require_same_template
from evaluation.reporting.told_events import NotRetold, Retold, retold
from evaluation.whole_run import AskedRecord, WholeRun

RoleEffect = AskPlanner | AskCaller | AskSummarizer | AskBackbone
_ROLES: Mapping[type[Any], Role] = {
    AskPlanner: "planner",
    AskCaller: "caller",
    AskSummarizer: "summarizer",
    AskBackbone: "backbone",
}
_WROTE = (PlannerDecided, PlannerUnreadable, CallMade, CallUnreadable, AnswerWritten, StepTaken, BackboneUnreadable)


class NoPrompts(ValueError):
    """None of a trajectory's prompts can be made again; the text says why."""


@dataclass(frozen=True)
class RolePrompt:
    """What a role was asked at a step (None: for the closing answer).

    `text` is the exact prompt, or None where it cannot be made again: `why` says the reason then. `remarks` say what
    else is to be known of it.
    """

    role: Role
    step: int | None
    text: str | None
    why: str = ""
    remarks: tuple[str, ...] = ()


def whole_prompts(run: WholeRun, record: AskedRecord) -> list[RolePrompt]:
    """Every prompt of a trajectory in order. Raises `NoPrompts`."""
    tools = run.offered(record)
    if tools is None:
        raise NoPrompts("the file does not tell the tools as they were offered, because an earlier version wrote it")
    if not run.about.models:
        raise NoPrompts("the file does not name the models, and so not their templates: their services were not asked")
    try:
        told = retold(record.trajectory, record.events)
    except NotRetold as error:
        raise NoPrompts(str(error)) from error
    return [_prompt(*asked, tools, run.about.models) for asked in _asked(told, record)]


def _asked(told: Retold, record: AskedRecord) -> Iterator[tuple[RoleEffect, State, Event | None]]:
    """Whoever was asked, in which state, and what came of it; None for a role that failed, which ends a trajectory."""
    for moment in told.moments:
        effect = effect_of(moment.before)
        if isinstance(effect, RoleEffect) and isinstance(moment.event, _WROTE):
            yield effect, moment.before, moment.event
    last, error = effect_of(told.end), record.trajectory.error
    if isinstance(last, RoleEffect) and error is not None and error.code == f"{_ROLES[type(last)]}_failed":
        yield last, told.end, None


def _prompt(
    effect: RoleEffect,
    state: State,
    event: Event | None,
    tools: Sequence[Tool],
    models: Mapping[Role, Model],
) -> RolePrompt:
    role, closes = _ROLES[type(effect)], state.is_closing
    step = None if closes else effect.step
    try:
        if _shortened(event):
            raise NoPrompt(SHORTENED)
        text = _rendered(role, models.get(role, {}), _history(effect, state), tools)
    except NoPrompt as error:
        return RolePrompt(role, step, None, str(error))
    if isinstance(effect, AskBackbone) and effect.conclude:
        # The answer is begun for the model.
        text += ANSWER
    return RolePrompt(role, step, text, remarks=tuple(_remarks(event)))


def _history(effect: RoleEffect, state: State) -> tuple[Turn, ...]:
    return as_history(as_turns(planner_history(state) if isinstance(effect, AskPlanner) else state.history))


def _rendered(role: Role, model: Model, history: Sequence[Turn], tools: Sequence[Tool]) -> str:
    """Raises `NoPrompt`. No digest of the prompt is there to tell, so the template has to be the very one."""
    label, template = model.get("planner_label", "assistant"), named_template(model)
    require_same_template(model, template)
    # Nothing is counted, so nothing is shortened.
    fitted = fit(role, template, history=history, tools=tools, budget=0, count=lambda _: 0, planner_label=label)
    return fitted.prompt.text


def _shortened(event: Event | None) -> bool:
    return isinstance(event, PlannerDecided | CallMade | AnswerWritten | StepTaken) and event.truncated


def _remarks(event: Event | None) -> Iterator[str]:
    if event is None:
        yield "no answer came"
    elif isinstance(event, _WROTE) and event.attempts > 1:
        yield f"the role wrote {event.attempts} times, and this was shown the first time"
    if event is None or isinstance(event, PlannerUnreadable | CallUnreadable | BackboneUnreadable):
        yield "whether the history was shortened is told only of what could be read"
