"""GSM8K with the Python tool in the place of the calculator: the same questions, calculations and answers.

Each calculation of a reference solution is a call with its expression as the code, and what the sandbox really makes of
it is the observation (`24.0` where the calculator says 24).
"""

from __future__ import annotations

from pathlib import Path

from evaluation.replay.sandbox import PythonSandbox
from evaluation.suites import gsm8k
from evaluation.suites.arithmetic import NotArithmetic
from evaluation.suites.python_tool import CODE, PYTHON
from evaluation.suites.reading import OnBroken, refuse
from evaluation.suites.recorded import Loaded


def load(path: Path, on_broken: OnBroken = refuse) -> Loaded:
    """The problems of a file as trajectories. Raises `EvaluationError`."""
    with PythonSandbox() as sandbox:

        def compute(expression: str) -> str:
            ran = sandbox.run(expression)
            if ran.failed:
                raise NotArithmetic(ran.text)
            return ran.text

        return gsm8k.load(path, on_broken, gsm8k.Computing(PYTHON, CODE, compute))
