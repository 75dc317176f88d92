"""The Python example of docs/api.md runs unchanged."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from alpha_umi.trajectory import (
    AnswerWritten,
    CallMade,
    PlannerDecided,
    ToolObserved,
    TrajectoryCreated,
    TrajectoryFinished,
)

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_example_prints_calls_and_the_answer(fake: Any, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    fake.add(
        [
            TrajectoryCreated("How many kilograms are 150 pounds?", ("convert",)),
            PlannerDecided("I convert.", "caller", "I convert. Next: caller."),
            CallMade("call_1", "convert", {"pounds": 150}, "Action: convert"),
            ToolObserved("call_1", "68.04"),
            PlannerDecided("Known.", "conclusion", "Known. Next: conclusion."),
            AnswerWritten("68.04 kg."),
            TrajectoryFinished(),
        ]
    )
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example.replace("http://127.0.0.1:8000", url), "docs/api.md", "exec"), {"__name__": "example"})  # noqa: S102
    assert capsys.readouterr().out == "call: convert {'pounds': 150}\nanswer: 68.04 kg.\n"
