"""Print a trajectory as it happens, from the events of its stream.

Text that a role is writing is printed as it comes. It is a preview: where the event that follows differs, because the
role was called again, that is noted and its text printed as well.
"""

from __future__ import annotations

from collections.abc import Iterable

from alpha_umi.contract.stream_events import Reconnect, StreamEvent, TextDelta
from alpha_umi.contract.trajectories import StepObservation, Trajectory
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
from cli.errors import NotUnderstood
from cli.steps_view import StepsView

RETRIED = "asked again; this counts:"


class LiveOutput:
    """Prints each event; keeps the trajectory's id, and at the end the trajectory."""

    def __init__(self, view: StepsView) -> None:
        self.trajectory_id: str | None = None
        self.trajectory: Trajectory | None = None
        self._view = view
        self._preview = ""

    def show(self, item: StreamEvent) -> None:
        """Print one event. A kind that adds nothing to what the end says, or is not known, prints nothing."""
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
        """Print the text that counts, unless the preview has printed it."""
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
