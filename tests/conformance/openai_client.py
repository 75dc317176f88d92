"""The official client for Python through every endpoint. Prints one JSON object a check; needs `openai` alone."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable

from openai import OpenAI

MODEL = os.environ["MODEL"]
client = OpenAI(max_retries=0, timeout=30)
CHECKS: list[Callable[[], None]] = []


def check(function: Callable[[], None]) -> Callable[[], None]:
    """Register a check."""
    CHECKS.append(function)
    return function


@check
def models() -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).id == MODEL


@check
def response() -> None:
    answer = client.responses.create(model=MODEL, input="Hello")
    assert answer.status == "completed", answer.status
    assert answer.output_text == "You wrote: Hello", answer.output_text


def main() -> None:
    """Run the checks in order."""
    for function in CHECKS:
        error = None
        try:
            function()
        except Exception as problem:
            last = traceback.extract_tb(problem.__traceback__)[-1]
            error = f"{type(problem).__name__} at line {last.lineno}: {problem}"
        print(json.dumps({"name": function.__name__, "error": error}), flush=True)


if __name__ == "__main__":
    main()
