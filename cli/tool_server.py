"""Options that name a server of ToolBench's tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.client import is_loopback
from cli.options import checked_address
from cli.secrets import secret

if TYPE_CHECKING:
    from evaluation.replay.virtual import VirtualServer

KEY_VARIABLE = "ALPHA_UMI_TOOLBENCH_KEY"


class StripName(StrEnum):
    """How a server shortens what its tools answer."""

    TRUNCATE = "truncate"
    FILTER = "filter"
    RANDOM = "random"


ToolServer = Annotated[
    str | None,
    typer.Option(
        help="A server of ToolBench's tools: http://HOST:8080, or the whole address where it is not /virtual.",
        show_default=False,
    ),
]
ToolKeyFile = Annotated[
    Path | None,
    typer.Option(help=f"A file with its key; else {KEY_VARIABLE} has it.", dir_okay=False, show_default=False),
]
ToolTimeout = Annotated[float, typer.Option(min=0.1, max=600, help="Seconds for a call of the tool server.")]
Strip = Annotated[StripName, typer.Option(help="How the tool server shortens answers.")]
MaxObservation = Annotated[int, typer.Option(min=1, help="Characters of an answer that the planner is shown.")]


def virtual_server(
    url: str | None, key_file: Path | None, timeout_s: float, strip: StripName, max_characters: int
) -> VirtualServer | None:
    """The server, if one is named. Raises `UsageProblem`."""
    if url is None:
        return None
    from evaluation.replay.virtual import VirtualServer

    key = secret(key_file, "--tool-key-file", KEY_VARIABLE)
    address = checked_address(url, "--tool-server")
    # A proxy of the environment is for other machines.
    outside = not is_loopback(address)
    return VirtualServer(address, key, strip.value, max_characters, timeout_s, trust_env=outside)
