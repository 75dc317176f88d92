"""The orchestrator's HTTP routes."""
