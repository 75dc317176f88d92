"""Check calls with the package bfcl-eval; runs inside that package's environment.

Lines of standard input are {"id", "calls": [{NAME: ARGUMENTS}]}, lines of standard output {"id", "valid", "reason"},
after a first one with the package's version. Only the standard library and the package are imported here: its data and
its checker of syntax trees. Its table of models would import the client of every provider; a stub replaces it with the
one setting that the checker reads: names are compared unchanged.

Relevance (whether there are calls) is checked as in `_evaluate_single_relevance_entry` of its `eval_runner.py`,
everything else by `ast_checker`. Calls for which the checker raises an exception are not valid.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

MODEL = "alpha-umi"
# Exit status: the package is not in this environment.
NO_PACKAGE = 3


def main() -> int:
    """Check the calls of each input line."""
    package = find_spec("bfcl_eval")
    if package is None or package.origin is None:
        return NO_PACKAGE
    models = ModuleType("bfcl_eval.constants.model_config")
    models.__dict__["MODEL_CONFIG_MAPPING"] = {MODEL: SimpleNamespace(underscore_to_dot=False)}
    sys.modules[models.__name__] = models
    data = Path(package.origin).parent / "data"
    print(json.dumps({"version": metadata.version("bfcl-eval")}))
    for line in sys.stdin:
        question = json.loads(line)
        valid, reason = check(data, question["id"], question["calls"])
        print(json.dumps({"id": question["id"], "valid": valid, "reason": reason}), flush=True)
    return 0


def check(data: Path, question: str, calls: list[dict[str, Any]]) -> tuple[bool, str]:
    """Whether the calls are right for a question; if not, the checker's name of the error."""
    category = question.rpartition("_")[0]
    if "irrelevance" in category:
        return (not calls, "irrelevance_error:decoder_success" if calls else "")
    functions = entries(data / f"BFCL_v4_{category}.json")
    answers = entries(data / "possible_answer" / f"BFCL_v4_{category}.json")
    if question not in functions or question not in answers:
        return False, "unknown_question"
    return checked(functions[question]["function"], calls, answers[question]["ground_truth"], category)


def checked(functions: Any, calls: Any, answers: Any, category: str) -> tuple[bool, str]:
    """The result of `ast_checker`."""
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    try:
        verdict = ast_checker(functions, calls, answers, Language.PYTHON, category, MODEL)
    except Exception as error:
        return False, f"checker_failed:{type(error).__name__}"
    return bool(verdict["valid"]), str(verdict.get("error_type", "")) if not verdict["valid"] else ""


@cache
def entries(file: Path) -> dict[str, Any]:
    """The entries of a file of the package, by their ids."""
    with file.open(encoding="utf-8") as lines:
        return {entry["id"]: entry for entry in map(json.loads, lines)}


if __name__ == "__main__":
    sys.exit(main())
