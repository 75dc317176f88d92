"""What the main job asks: whatever the models that are up can be asked."""

from __future__ import annotations

from alpha_umi.contract.trajectories import CreateTrajectory
from cli.local.models import RunningModel, running_models
from cli.local.services import SINGLE
from cli.local.state import RunRecord
from cli.request import trajectory_request

INSTRUCTION = "How many kilograms are 150 pounds, and how many centimetres are 30 inches?"
# The untuned model loses its way among many tools, and repeats itself.
UNTUNED_INSTRUCTION = "How many words are in 'The quick brown fox jumps over the lazy dog.'?"
UNTUNED_TOOLS = "text_metrics"
UNTUNED_STEPS = 2


def demo_question(run: RunRecord) -> CreateTrajectory:
    """A question of two calls, with all tools on offer; an easier one where a role has no trained model.

    The services are asked, because what is up may have been brought up with other models than a start would take now.
    """
    roles = [model for model in running_models(run) if model.service.name != SINGLE]
    if all(map(_is_trained, roles)):
        return trajectory_request(INSTRUCTION)
    return trajectory_request(UNTUNED_INSTRUCTION, tools=UNTUNED_TOOLS, max_steps=UNTUNED_STEPS)


def _is_trained(running: RunningModel) -> bool:
    """Whether a service's model was made for its role. An untuned one is a backbone, and a script says nothing."""
    manifest = None if running.model is None else running.model.manifest
    return manifest is not None and manifest.get("role") == running.service.name
