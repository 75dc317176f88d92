"""Trajectories on a terminal: complete ones (`StepsView`), and running ones event by event (`LiveOutput`).

Text of models, tools and users goes through `plain_text`. A preview of streamed text is printed as it arrives; the
event with the final text then completes or replaces it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from alpha_umi.contract.stream_events import Reconnect, RoleOutage, StreamEvent, TextDelta
from alpha_umi.contract.trajectories import StepModel, StepObservation, Trajectory
from alpha_umi.plain_text import bounded, plain, plain_line
from alpha_umi.roles.caller import NO_CALL
from alpha_umi.trajectory import (
    ActionRequired,
    AnswerWritten,
    Backtracked,
    CallMade,
    MessageAdded,
    PlannerDecided,
    StepTaken,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
)
from alpha_umi.trajectory.limits import DeadEndReason
from cli.errors import NotUnderstood
from cli.options import as_text

LABEL_WIDTH = 13
OBSERVATION_LINES = 12
OBSERVATION_COLUMNS = 600
ONE_LINE = 100

_DEAD_ENDS: dict[DeadEndReason, str] = {
    "gave_up": "the planner gave up",
    "max_depth": "the branch reached its maximum depth",
    "repeated_call": "the same call repeatedly returned the same result",
}
_STATUS_STYLES = {
    "completed": "bold green",
    "exhausted": "bold yellow",
    "running": "bold cyan",
    "requires_action": "bold cyan",
}


class StepsView:
    """Prints the parts of trajectories, in the order of the calls."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def heading(self, trajectory_id: str, instruction: str) -> None:
        """Print id and instruction."""
        self.identity(trajectory_id)
        self.part("instruction", instruction, style="bold")

    def identity(self, trajectory_id: str) -> None:
        """Print the id."""
        self._line(Text(trajectory_id, style="dim"))

    def step(self, index: int, note: str = "") -> None:
        """Print the heading of a step."""
        self._line(Text(f"\nStep {index + 1}", style="bold cyan") + Text(note, style="dim"))

    def went_back(self, left: Sequence[int], to: int | None, reason: DeadEndReason) -> None:
        """Print that a search left steps of its branch and continues from step `to` (None: the instruction)."""
        numbers = ", ".join(str(index + 1) for index in left)
        place = "the question" if to is None else f"step {to + 1}"
        self.note(f"dead end: {_DEAD_ENDS[reason]}")
        self.note(f"back to {place}, without step{'' if len(left) == 1 else 's'} {numbers}")

    def part(self, label: str, content: str, *, style: str = "", label_style: str = "dim") -> None:
        """Print a labelled text."""
        self.begin(label, label_style=label_style)
        self.write(content, style=style)
        self.end()

    def begin(self, label: str, *, label_style: str = "dim") -> None:
        """Print a label; its text follows."""
        self._piece(Text(label.ljust(LABEL_WIDTH), style=label_style))

    def write(self, content: str, *, style: str = "") -> None:
        """Print a part of a label's text; further lines are aligned with the first one."""
        self._piece(Text(plain(content).replace("\n", "\n" + " " * LABEL_WIDTH), style=style))

    def end(self) -> None:
        """End a label's text."""
        self._console.print()

    def note(self, content: str) -> None:
        """Print a remark on the step."""
        self.part("", content, style="yellow")

    def call(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Print a tool call."""
        self.begin("call")
        self._piece(as_text(plain_line(name), "bold magenta"))
        written = json.dumps(arguments, ensure_ascii=False)
        if len(written) > ONE_LINE:
            written = "\n" + json.dumps(arguments, ensure_ascii=False, indent=2)
        self.write(f" {written}")
        self.end()

    def message(self, role: str, content: str) -> None:
        """Print a message of a further turn."""
        self.part("message" if role == "user" else "answer", content, style="bold")

    def waiting(self, trajectory_id: str, call_id: str, expires_at: str) -> None:
        """Print that the application has to execute the call of a client tool."""
        self.note(f"waits until {plain_line(expires_at)} for the application to execute this call and send its output")
        self.note(f"to POST /v1/trajectories/{plain_line(trajectory_id)}/tool_outputs as {plain_line(call_id)}")

    def observation(self, observation: StepObservation) -> None:
        """Print an observation; a long one is truncated."""
        shown, left_out = bounded(observation.content, lines=OBSERVATION_LINES, columns=OBSERVATION_COLUMNS)
        self.part("observation", shown, style="red" if observation.is_error else "blue")
        if left_out:
            self.note(f"{left_out} more characters; `alpha-umi show --json` prints them all")
        if observation.truncated:
            self.note("the roles saw a truncated answer of the tool")

    def closing(self, trajectory: Trajectory) -> None:
        """Print status, steps, tokens and duration."""
        line = Text("\n") + Text(trajectory.status, style=_STATUS_STYLES.get(trajectory.status, "bold red"))
        line.append(f" · {', '.join(_figures(trajectory))} · {plain_line(trajectory.id)}", style="dim")
        self._line(line)
        if trajectory.error is not None and trajectory.status != "running":
            self._line(as_text(f"{trajectory.error.code}: {trajectory.error.detail}", "yellow"))

    def trajectory(self, trajectory: Trajectory) -> None:
        """Print a trajectory."""
        self.heading(trajectory.id, trajectory.instruction)
        for step in trajectory.steps:
            self.step(step.index, _place(step, trajectory.strategy))
            self.part("thought", step.thought)
            self.part("next", step.next)
            if step.action is not None:
                self.call(step.action.name, step.action.arguments)
            if step.action is not None and step.action.expires_at is not None:
                self.waiting(trajectory.id, step.action.call_id, step.action.expires_at.isoformat())
            if step.observation is not None:
                self.observation(step.observation)
        for message in trajectory.messages[1:]:
            self.end()
            self.message(message.role, message.content)
        self.closing(trajectory)

    def _line(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)

    def _piece(self, text: Text) -> None:
        # The terminal wraps the lines: streamed text cannot be measured.
        self._console.print(text, soft_wrap=True, end="")


def _place(step: StepModel, strategy: str) -> str:
    """The position of a step in a search: its parent, unless that is the previous step, and if it was abandoned."""
    if strategy != "dfsdt":
        return ""
    after = "the question" if step.parent is None else f"step {step.parent + 1}"
    beside = "" if step.index == (0 if step.parent is None else step.parent + 1) else f" · after {after}"
    return beside + (" · abandoned" if step.abandoned else "")


def _figures(trajectory: Trajectory) -> list[str]:
    steps = len(trajectory.steps)
    abandoned = sum(step.abandoned for step in trajectory.steps)
    usage = trajectory.usage
    figures = [
        f"{steps} step{'' if steps == 1 else 's'}{f' ({abandoned} abandoned)' if abandoned else ''}",
        f"{usage.prompt_tokens:,} prompt + {usage.completion_tokens:,} completion tokens",
    ]
    if trajectory.finished_at is not None and sum(message.role == "user" for message in trajectory.messages) == 1:
        figures.append(f"{(trajectory.finished_at - trajectory.created_at).total_seconds():.1f} s")
    return figures


RETRIED = "the request was repeated; the final text:"


class LiveOutput:
    """Prints each event; stores the trajectory's id, and at the end the trajectory."""

    def __init__(self, view: StepsView) -> None:
        self.trajectory_id: str | None = None
        self.trajectory: Trajectory | None = None
        self._view = view
        self._preview = ""

    def show(self, item: StreamEvent) -> None:
        """Print one event. Unknown kinds, and those without news for a reader, print nothing."""
        context = item.context
        match item.event:
            case TrajectoryCreated() as event:
                self.trajectory_id = context.trajectory_id
                self._view.heading(context.trajectory_id, event.instruction)
            case MessageAdded() as event:
                self._continued(context.trajectory_id, event)
            case ActionRequired() as event:
                self._view.waiting(context.trajectory_id, event.call_id, event.expires_at)
            case TextDelta() as delta:
                self._preview_of(delta)
            case PlannerDecided() as event:
                self._decided(context.step, event)
            case CallMade() as event:
                self._view.call(event.name, event.arguments)
            case ToolObserved() as event:
                self._view.observation(
                    StepObservation(content=event.content, is_error=event.is_error, truncated=event.truncated)
                )
            case Backtracked() as event:
                self._view.went_back(context.abandoned, event.to, event.reason)
            case AnswerWritten() as event:
                self._settle("answer", event.answer, style="bold")
            case StepTaken() as event:
                self._stepped(context.step, event, concludes=context.concludes)
            case RoleOutage() as event:
                self._end_preview()
                self._view.note(f"it waits for the {event.role}: {event.reason}")
            case Reconnect() as event:
                self._end_preview()
                self._view.note(f"the stream was interrupted: {event.reason}")
            case TrajectoryFinished() if context.trajectory is not None:
                self._end_preview()
                self.trajectory = context.trajectory
                self._view.closing(context.trajectory)

    def _continued(self, trajectory_id: str, event: MessageAdded) -> None:
        self._end_preview()
        if self.trajectory_id is None:
            self._view.identity(trajectory_id)
        else:
            self._view.end()
        self.trajectory_id = trajectory_id
        self._view.message("user", event.content)

    def _preview_of(self, delta: TextDelta) -> None:
        if not self._preview:
            self._begin(delta)
        self._preview += delta.text
        self._view.write(delta.text)

    def _begin(self, delta: TextDelta) -> None:
        if delta.role == "planner":
            self._view.step(delta.step)
            self._view.begin("thought")
        elif delta.role == "backbone":
            self._view.step(delta.step)
            self._view.begin("writes")
        else:
            self._view.end()
            self._view.begin("answer")

    def _decided(self, step: int, event: PlannerDecided) -> None:
        if not self._preview:
            self._view.step(step)
        self._settle("thought", event.thought)
        if event.unreadable:
            self._view.note(f"no decision could be read ({event.reason}); the policy decides")
        self._view.part("next", event.next)

    def _stepped(self, step: int, event: StepTaken, *, concludes: bool) -> None:
        """A step of the single model, whose preview is its complete text: rationale, and call or answer."""
        preview = self._preview
        if not preview and not concludes:
            self._view.step(step)
        self._end_preview()
        printed = bool(preview) and event.thought.strip() in preview and event.text.strip() in preview
        if not printed:
            if preview:
                self._view.note(RETRIED)
            self._step_parts(event, concludes=concludes)
        if event.unreadable:
            self._view.note(f"no step could be read ({event.reason}); the policy decides")
        elif event.reason is not None:
            self._view.observation(StepObservation(content=NO_CALL + event.reason, is_error=True, truncated=False))

    def _step_parts(self, event: StepTaken, *, concludes: bool) -> None:
        if not concludes:
            self._view.part("thought", event.thought)
            self._view.part("next", event.next)
        if event.name is not None:
            self._view.call(event.name, event.arguments or {})
        if event.answer is not None:
            self._view.end()
            self._view.part("answer", event.answer, style="bold")

    def _settle(self, label: str, content: str, *, style: str = "") -> None:
        """Print the final text, unless the preview has printed it."""
        preview = self._preview.strip()
        self._end_preview()
        if not preview:
            if label == "answer":
                self._view.end()
            self._view.part(label, content, style=style)
        elif not preview.startswith(content.strip()):
            self._view.note(RETRIED)
            self._view.part(label, content, style=style)

    def _end_preview(self) -> None:
        if self._preview:
            self._view.end()
        self._preview = ""


def ended(events: Iterable[StreamEvent], output: LiveOutput | None = None) -> Trajectory:
    """Print events until the trajectory has ended, and return it. Raises `NotUnderstood` if it never does."""
    for item in events:
        if output is not None:
            output.show(item)
        if item.context.trajectory is not None:
            return item.context.trajectory
    raise NotUnderstood("the stream ended before the trajectory did")
