"""The summarizer service: the user's answer."""

from services.summarizer.answer import create_router

__all__ = ["create_router"]
