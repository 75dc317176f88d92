"""The limits of whole trajectories, as the orchestrator told them in the first event of each."""

from __future__ import annotations

from evaluation.whole_run import WholeRun


def told_limits(run: WholeRun, name: str) -> list[str]:
    """Every value that a limit had; none where no event tells it, as in files of earlier versions."""
    events = (event for record in run.asked for event in record.events if event.name == "trajectory.created")
    return sorted({repr(event.data[name]) for event in events if name in event.data})
