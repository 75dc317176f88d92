"""The orchestrator as a server of the Model Context Protocol (MCP) at `/mcp`, in both of its eras.

The official SDK is imported with these modules, so they are imported only where the setting is on.
"""
