"""The orchestrator's routes."""
