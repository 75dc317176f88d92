"""The service of the single model that plans, calls and answers: the paper's baseline."""

from services.backbone.stepping import create_router

__all__ = ["create_router"]
