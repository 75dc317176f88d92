"""The caller service: one call of an offered tool with arguments that its schema allows."""

from services.caller.calling import create_router

__all__ = ["create_router"]
