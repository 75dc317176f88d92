"""Requests from the options of a command, validated before they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from alpha_umi.contract.client_turns import AddMessage
from alpha_umi.contract.trajectories import CreateTrajectory, Strategy
from cli.errors import UsageProblem


def trajectory_request(
    instruction: str,
    *,
    tools: str | None = None,
    max_steps: int | None = None,
    max_tokens: int | None = None,
    max_depth: int | None = None,
    strategy: Strategy = "chain",
) -> CreateTrajectory:
    """A request for a trajectory; `tools` are comma-separated names. Raises `UsageProblem`."""
    names = None if tools is None else [name.strip() for name in tools.split(",") if name.strip()]
    with _translate_errors():
        return CreateTrajectory(
            instruction=instruction,
            tools=None if names is None else [*names],
            max_steps=max_steps,
            max_tokens=max_tokens,
            max_depth=max_depth,
            strategy=strategy,
        )


def message_request(content: str) -> AddMessage:
    """A request for a further turn. Raises `UsageProblem`."""
    with _translate_errors():
        return AddMessage(content=content)


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raises `UsageProblem` with the first invalid field."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UsageProblem(f"{field}: {first['msg'].removeprefix('Value error, ')}") from error
