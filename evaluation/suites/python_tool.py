"""The Python tool as models see it: code in; output, or the reason of a failure, out (`evaluation.replay.sandbox`)."""

from __future__ import annotations

from typing import Final

from alpha_umi.roles.turns import Tool

CODE: Final = "code"
PYTHON: Final = Tool(
    "python",
    "Runs Python code in a sandbox without files and network. Answers with what it prints and the value of its last "
    "line.",
    {
        "type": "object",
        "properties": {CODE: {"type": "string", "description": "Python code, such as import math; math.sqrt(2) / 3"}},
        "required": [CODE],
        "additionalProperties": False,
    },
)
