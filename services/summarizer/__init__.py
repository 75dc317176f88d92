"""The summarizer service: the answer for the user."""

from services.summarizer.answer import create_router

__all__ = ["create_router"]
