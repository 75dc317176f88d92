"""What is wrong with a document, from pydantic's errors. Values are not repeated: they may be secrets."""

from __future__ import annotations

from pydantic import ValidationError


def faults(error: ValidationError, *, at: str = "document") -> list[str]:
    """Each fault as `field: message`, the field with dots; `at` stands for the document itself."""
    listed = error.errors(include_url=False, include_input=False, include_context=False)
    return [f"{'.'.join(map(str, each['loc'])) or at}: {each['msg']}" for each in listed]


def explain(error: ValidationError, *, at: str = "document") -> str:
    """The first of the faults."""
    return faults(error, at=at)[0]
