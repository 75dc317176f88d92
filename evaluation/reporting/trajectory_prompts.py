"""The prompts of a whole trajectory, made again from its events by the machine that asked for them.

The machine says who was asked when, and with which history; the tools are those that the file keeps, the template is
the one that the role's model names. Only what was shortened to fit, which takes the model's tokenizer, is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from alpha_umi.contract.roles import as_history, as_turns
from alpha_umi.roles.backbone import ANSWER
from alpha_umi.roles.fitting import fit
from alpha_umi.roles.turns import Role, Tool, Turn
from alpha_umi.trajectory import (
    AskBackbone,
    AskPlanner,
    Event,
    PlannerDecided,
    RoleEffect,
    RoleFailed,
    RoleOutput,
    State,
    StepTaken,
    ToolObserved,
    effect_of,
    planner_history,
    role_of,
)
from evaluation.files.trajectory_run import TrajectoryRecord, TrajectoryRun
from evaluation.reporting.prompts import SHORTENED, Model, NoPrompt, named_template, require_same_template


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


def trajectory_prompts(run: TrajectoryRun, record: TrajectoryRecord) -> list[RolePrompt]:
    """Every prompt of a trajectory in order. Raises `NoPrompts`."""
    tools = run.offered(record)
    if tools is None:
        raise NoPrompts("the file does not tell the tools as they were offered, because an earlier version wrote it")
    if not run.about.models:
        raise NoPrompts("the file does not name the models, and so not their templates: their services were not asked")
    return [_prompt(*call, tools, run.about.models) for call in _role_calls(record)]


def _role_calls(record: TrajectoryRecord) -> Iterator[tuple[RoleEffect, State, Event]]:
    """Every role call that came to an end: its effect, the state in which it was made, and its outcome."""
    for transition in record.transitions:
        effect, event = effect_of(transition.before), transition.event
        if isinstance(effect, RoleEffect) and isinstance(event, RoleOutput | ToolObserved | RoleFailed):
            yield effect, transition.before, event


def _prompt(
    effect: RoleEffect,
    state: State,
    event: Event,
    tools: Sequence[Tool],
    models: Mapping[Role, Model],
) -> RolePrompt:
    role, closes = role_of(effect), state.is_closing
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


def _shortened(event: Event) -> bool:
    return isinstance(event, RoleOutput) and event.truncated


def _remarks(event: Event) -> Iterator[str]:
    attempts = (event.attempts or 0) if isinstance(event, RoleOutput | ToolObserved) else 0
    if isinstance(event, RoleFailed):
        yield "no answer came"
    elif attempts > 1:
        yield f"the role wrote {attempts} times, and this was shown the first time"
    unreadable = isinstance(event, PlannerDecided | StepTaken) and event.unreadable
    if unreadable or isinstance(event, RoleFailed | ToolObserved):
        yield "whether the history was shortened is told only of what could be read"
