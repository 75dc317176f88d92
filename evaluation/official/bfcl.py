"""The verdicts of BFCL's own checker on a run's predictions, by category.

A question is right or wrong. A step without a call (a conclusion, giving up, an unreadable call) has no calls for the
checker, which is right if no function is relevant. A question without a prediction is wrong in every category.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from alpha_umi.contract.roles import WireModel
from evaluation.errors import EvaluationError
from evaluation.files.published import Pair
from evaluation.official import bfcl_checker
from evaluation.results import FigureReport
from evaluation.statistics.bootstrap import wilson_interval
from recordings.errors import EmptySuite, NotTheFormat
from recordings.formats.bfcl import CALLS, NO_CALLS, category_of

VARIABLE: Final = "ALPHA_UMI_BFCL_PYTHON"
# The environment that `make bfcl-setup` creates.
BESIDE_THE_CHECKOUT: Final = Path(__file__).parents[2] / ".venv-bfcl" / "bin" / "python"
SETUP: Final = f"run `make bfcl-setup`, or name the Python of an environment that has bfcl-eval with {VARIABLE}"
MISSING: Final = "missing_prediction"
TIMEOUT_S: Final = 600


class CheckerMissing(EvaluationError):
    """There is no environment with BFCL's package."""


class CheckerFailed(EvaluationError):
    """BFCL's package did not give its verdicts."""


class CategoryReport(FigureReport):
    """The share of right questions of `n`, with its interval. `errors` counts the others by reason."""

    valid: int
    errors: dict[str, int]


class BfclReport(WireModel):
    """`evaluate bfcl`. `total` is over all questions of the run, not the leaderboard's average over categories."""

    package: str
    total: CategoryReport
    categories: dict[str, CategoryReport]


class _CheckerLine(BaseModel):
    """An output line of the checker."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str
    valid: bool
    reason: str


def checker_python(environ: Mapping[str, str]) -> Path:
    """The Python of the environment with BFCL's package. Raises `CheckerMissing`."""
    python = Path(environ.get(VARIABLE) or BESIDE_THE_CHECKOUT)
    if not python.is_file():
        raise CheckerMissing(f"there is no environment with BFCL's package: {python} does not exist", remedy=SETUP)
    return python


def bfcl_report(pairs: Sequence[Pair], python: Path) -> BfclReport:
    """The verdicts on a run's predictions. Raises `EvaluationError`, also for steps that are not questions of BFCL."""
    if not pairs:
        raise EmptySuite("there is no step to check", remedy="name a file with at least one case")
    names = [pair.case.trajectory for pair in pairs]
    strange = next((name for name in names if category_of(name) not in (*CALLS, *NO_CALLS)), None)
    if strange is not None:
        raise NotTheFormat(f"{strange!r} is not a question of BFCL", remedy="name a run of the suite `bfcl`")
    version, reasons_by_question = _checked(
        {pair.case.trajectory: _calls(pair) for pair in pairs if pair.prediction}, python
    )
    reasons = {name: reasons_by_question.get(name, MISSING) for name in names}
    by_category = {each: [reasons[name] for name in names if category_of(name) == each] for each in (*CALLS, *NO_CALLS)}
    categories = {name: _report(name, errors) for name, errors in by_category.items() if errors}
    return BfclReport(package=f"bfcl-eval {version}", total=_report("all", reasons.values()), categories=categories)


def _calls(pair: Pair) -> list[dict[str, object]]:
    called = pair.prediction.call if pair.prediction is not None else None
    return [] if called is None else [{called.name: called.arguments}]


def _checked(calls_by_question: Mapping[str, list[dict[str, object]]], python: Path) -> tuple[str, dict[str, str]]:
    """The package's version, and for each question the reason why it is wrong, empty if it is right."""
    lines = "".join(json.dumps({"id": name, "calls": calls}) + "\n" for name, calls in calls_by_question.items())
    try:
        # Isolated from this project's modules and the environment's Python settings.
        done = subprocess.run(  # noqa: S603 - a Python of the user's, and a program of ours
            [python, "-I", bfcl_checker.__file__],
            input=lines, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired, UnicodeError) as error:
        raise CheckerFailed(f"{python} did not check the calls: {error}", remedy=SETUP) from error
    if done.returncode == bfcl_checker.NO_PACKAGE:
        raise CheckerMissing(f"{python} has no bfcl-eval", remedy=SETUP)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a message"])[-1]
        raise CheckerFailed(f"BFCL's checker ended with {done.returncode}: {last}", remedy=SETUP)
    return _read(done.stdout, calls_by_question)


def _read(text: str, questions: Iterable[str]) -> tuple[str, dict[str, str]]:
    try:
        first, *lines = text.splitlines()
        version = str(json.loads(first)["version"])
        verdicts = [_CheckerLine.model_validate_json(line) for line in lines]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise CheckerFailed("the output of BFCL's checker cannot be read", remedy=SETUP) from error
    if [each.id for each in verdicts] != list(questions):
        raise CheckerFailed("the output of BFCL's checker lacks questions", remedy=SETUP)
    return version, {each.id: "" if each.valid else each.reason or "unknown" for each in verdicts}


def _report(title: str, reasons: Iterable[str]) -> CategoryReport:
    errors = Counter(reasons)
    n, valid = errors.total(), errors.pop("", 0)
    spread = wilson_interval(valid, n)
    return CategoryReport(
        title=title,
        value=valid / n,
        low=spread.low,
        high=spread.high,
        n=n,
        valid=valid,
        errors=dict(errors.most_common()),
    )
