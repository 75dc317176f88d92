"""Print a trajectory as it happens, from the events of its stream.

Text that a role is writing is printed as it comes. It is a preview: where what was decided in the end is something
else (the role was asked again), that is said and printed as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from alpha_umi.contract.told_events import (
    Answered,
    Called,
    Continued,
    Created,
    Decided,
    Ended,
    Interrupted,
    Observed,
    Required,
    Stepped,
    Told,
    WentBack,
    Written,
)
from alpha_umi.contract.trajectories import StepObservation, Trajectory
from cli.errors import NotUnderstood
from cli.steps_view import StepsView


class LiveOutput:
    """Prints each event it is shown; remembers the trajectory's id, and in the end the trajectory."""

    def __init__(self, view: StepsView) -> None:
        self.trajectory_id: str | None = None
        self.trajectory: Trajectory | None = None
        self._view = view
        self._preview = ""

    def show(self, told: Told) -> None:
        """Print one event."""
        match told:
            case Created():
                self.trajectory_id = told.trajectory_id
                self._view.heading(told.trajectory_id, told.instruction)
            case Continued():
                self._end_preview()
                if self.trajectory_id is None:
                    self._view.identity(told.trajectory_id)
                else:
                    self._view.end()
                self.trajectory_id = told.trajectory_id
                self._view.message("user", told.content)
            case Required():
                self._view.waiting(told.trajectory_id, told.call_id, told.expires_at)
            case Written():
                self._preview_of(told)
            case Decided():
                self._decided(told)
            case Called():
                self._view.call(told.name, told.arguments)
            case Observed():
                self._view.observation(
                    StepObservation(content=told.content, is_error=told.is_error, truncated=told.truncated)
                )
            case WentBack():
                self._view.went_back(told.abandoned, told.to, told.reason)
            case Answered():
                self._settle("answer", told.answer, style="bold")
            case Stepped():
                self._stepped(told)
            case Interrupted():
                self._end_preview()
                self._view.note(f"the stream was interrupted: {told.reason}")
            case Ended():
                self._end_preview()
                self.trajectory = told.trajectory
                self._view.closing(told.trajectory)
            case _ as never:
                assert_never(never)

    def _preview_of(self, told: Written) -> None:
        if not self._preview:
            self._begin(told)
        self._preview += told.text
        self._view.write(told.text)

    def _begin(self, told: Written) -> None:
        if told.role == "planner":
            self._view.step(told.step)
            self._view.begin("thought")
        elif told.role == "backbone":
            self._view.step(told.step)
            self._view.begin("writes")
        else:
            self._view.end()
            self._view.begin("answer")

    def _decided(self, told: Decided) -> None:
        if not self._preview:
            self._view.step(told.step)
        self._settle("thought", told.thought)
        if told.unreadable:
            self._view.note(f"no decision could be read ({told.reason}); the policy decides")
        self._view.part("next", told.next)

    def _stepped(self, told: Stepped) -> None:
        """A step of the single model, whose preview is its whole text: rationale, and call or answer."""
        preview = self._preview
        if not preview and not told.concludes:
            self._view.step(told.step)
        self._end_preview()
        shown = bool(preview) and told.thought.strip() in preview and told.text.strip() in preview
        if not shown:
            if preview:
                self._view.note("asked again; this counts:")
            self._step_parts(told)
        if told.unreadable:
            self._view.note(f"no step could be read ({told.reason}); the policy decides")
        elif told.reason is not None:
            refusal = f"No call was made: {told.reason}"
            self._view.observation(StepObservation(content=refusal, is_error=True, truncated=False))

    def _step_parts(self, told: Stepped) -> None:
        if not told.concludes:
            self._view.part("thought", told.thought)
            self._view.part("next", told.next)
        if told.name is not None:
            self._view.call(told.name, told.arguments or {})
        if told.answer is not None:
            self._view.end()
            self._view.part("answer", told.answer, style="bold")

    def _settle(self, label: str, content: str, *, style: str = "") -> None:
        """Print what counts, unless the preview has shown it."""
        preview = self._preview.strip()
        self._end_preview()
        if not preview:
            if label == "answer":
                self._view.end()
            self._view.part(label, content, style=style)
        elif not preview.startswith(content.strip()):
            self._view.note("asked again; this counts:")
            self._view.part(label, content, style=style)

    def _end_preview(self) -> None:
        if self._preview:
            self._view.end()
        self._preview = ""


def ended(events: Iterable[Told], output: LiveOutput | None = None) -> Trajectory:
    """Print events until the trajectory has ended, and return it. Raises `NotUnderstood` if it never does."""
    for told in events:
        if output is not None:
            output.show(told)
        if isinstance(told, Ended):
            return told.trajectory
    raise NotUnderstood("the stream ended before the trajectory did")
