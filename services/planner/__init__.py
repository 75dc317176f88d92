"""The planner service: a rationale as free text, then one of three decisions."""

from services.planner.decision import create_router

__all__ = ["create_router"]
