"""The instruction of `alpha-umi demo`, chosen by the models that run."""

from __future__ import annotations

from alpha_umi.contract.trajectories import CreateTrajectory
from cli.local.models import RunningModel, running_models
from cli.local.services import SINGLE
from cli.local.state import RunRecord
from cli.request import trajectory_request

INSTRUCTION = "How many kilograms are 150 pounds, and how many centimetres are 30 inches?"
# The untuned model repeats itself when it has many tools.
UNTUNED_INSTRUCTION = "How many words are in 'The quick brown fox jumps over the lazy dog.'?"
UNTUNED_TOOLS = "text_metrics"
UNTUNED_STEPS = 2


def demo_question(run: RunRecord) -> CreateTrajectory:
    """An instruction that needs two calls, with all tools; an easier one if a role has no trained model.

    The services report their models, because the running ones may differ from those that a start would use now.
    """
    roles = [model for model in running_models(run) if model.service.name != SINGLE]
    if all(map(_is_trained, roles)):
        return trajectory_request(INSTRUCTION)
    return trajectory_request(UNTUNED_INSTRUCTION, tools=UNTUNED_TOOLS, max_steps=UNTUNED_STEPS)


def _is_trained(running: RunningModel) -> bool:
    """Whether a service's model was trained for its role. The untuned one is a backbone, a script has no manifest."""
    manifest = None if running.model is None else running.model.manifest
    return manifest is not None and manifest.get("role") == running.service.name
