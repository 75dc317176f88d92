"""`mcp`: the orchestrator as an MCP server of a desktop client, which starts the command itself."""

from __future__ import annotations

from cli.errors import UsageProblem
from cli.options import ApiKey, StateDir, Url, orchestrator_address


def mcp(url: Url = None, api_key: ApiKey = None, state_dir: StateDir = None) -> None:
    """Serve an orchestrator's tools to an MCP client on standard input and output.

    The client starts this command and ends it.
    """
    address = orchestrator_address(url, state_dir)
    try:
        from cli.mcp_bridge import serve
    except ImportError as error:
        raise UsageProblem(
            f"the package {error.name} is not installed", remedy="pip install 'alpha-umi[mcp]'"
        ) from error
    serve(address, api_key)
