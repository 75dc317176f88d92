"""What the user wrote as a request, checked before it is sent."""

from __future__ import annotations

from pydantic import ValidationError

from alpha_umi.contract.trajectories import CreateTrajectory
from cli.errors import UsageProblem


def trajectory_request(instruction: str, *, tools: str | None = None, max_steps: int | None = None) -> CreateTrajectory:
    """A request for a trajectory; `tools` are names with commas between. Raises `UsageProblem`."""
    names = None if tools is None else [name.strip() for name in tools.split(",") if name.strip()]
    try:
        return CreateTrajectory(instruction=instruction, tools=None if names is None else [*names], max_steps=max_steps)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageProblem(f"{field}: {first['msg'].removeprefix('Value error, ')}") from error
