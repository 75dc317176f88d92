"""The orchestrator as a server of the Model Context Protocol (MCP) at `/mcp`, in both of its eras.

All modules but `mount` import the official SDK.
"""
