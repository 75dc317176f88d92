"""OpenAPI documents for tests."""

from __future__ import annotations

from typing import Any

OK = {"200": {"description": "ok"}}


def openapi_document(paths: dict[str, Any], *, version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    """A document with these paths and other fields."""
    return {"openapi": version, "info": {"title": "t", "version": "1"}, "paths": paths, **more}
