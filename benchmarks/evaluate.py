"""How long measuring takes: 10,000 steps read from the disk, scored with intervals, and compared.

    python -m benchmarks.evaluate [--steps 10000] [--json FILE]

The steps are made up, of the sizes that tool-use data has: five steps a trajectory, six tools with three parameters
each, answers of 150 words, and predictions that are half right. Nothing here asks a model.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil

from alpha_umi.roles.caller import Call, parse_call, write_call
from alpha_umi.roles.turns import Tool, Turn
from benchmarks.report import Row, show, write_json
from evaluation.compare import compare
from evaluation.intervals import RESAMPLES
from evaluation.outputs import Prediction, RoleText, read_prediction
from evaluation.pairs import Pair, pair
from evaluation.published import read_published_file, write_published_file
from evaluation.records import CaseRecord, OutputRecord, PredictionRecord, RunRecord
from evaluation.run_file import Run, read_run, write_run
from evaluation.score import score
from evaluation.steps import Reference, StepCase

TITLE = "Measuring predictions"
STEPS = 10_000
STEPS_PER_TRAJECTORY = 5
TOOLS = 6
ANSWER_WORDS = 150
WORDS = tuple(f"word{number}" for number in range(400))
PARAMETERS = ("city", "days", "unit")
DIGEST = "0" * 64

T = TypeVar("T")


def measure(steps: int) -> list[Row]:
    """All rows."""
    pairs = list(_pairs(random.Random(0), steps))  # noqa: S311 - nothing to guess
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        records, published = Path(folder) / "run.jsonl", Path(folder) / "published.json"
        write_run(records, _run(pairs))
        write_published_file(published, pairs)
        of_records = _timed(rows, f"read records ({_megabytes(records)} MB)", steps, lambda: read_run(records).pairs())
        _timed(rows, f"read published ({_megabytes(published)} MB)", steps, lambda: read_published_file(published))
    _timed(rows, f"score, {RESAMPLES:,} resamples", steps, lambda: score(of_records))
    _timed(rows, f"compare, {RESAMPLES:,} resamples", steps, lambda: compare(of_records, pairs))
    return rows


def _timed(rows: list[Row], what: str, steps: int, work: Callable[[], T]) -> T:
    began = time.perf_counter()
    made = work()
    seconds = time.perf_counter() - began
    resident = psutil.Process().memory_info().rss / 1e6
    rows.append({"what": what, "steps": steps, "seconds": seconds, "steps/s": steps / seconds, "MB": resident})
    return made


def _pairs(chance: random.Random, steps: int) -> Iterator[Pair]:
    for place in range(steps):
        case = _case(chance, place)
        yield pair(case, _prediction(chance, case))


def _case(chance: random.Random, place: int) -> StepCase:
    trajectory, step = divmod(place, STEPS_PER_TRAJECTORY)
    tools = tuple(_tool(number) for number in range(TOOLS))
    history = [Turn("user", _text(chance, 40))]
    for _ in range(step):
        call = write_call(chance.choice(tools).name, {"city": chance.choice(WORDS)})
        history += [
            Turn("planner", "I ask. Next: caller."),
            Turn("caller", call),
            Turn("observation", _text(chance, 60)),
        ]
    last = step == STEPS_PER_TRAJECTORY - 1
    reference = (
        Reference("conclusion", _text(chance, 20), answer=_text(chance, ANSWER_WORDS))
        if last
        else Reference("caller", _text(chance, 20), call=_call(chance, chance.choice(tools).name))
    )
    return StepCase(f"{trajectory}/{step + 1}", str(trajectory), step + 1, tools, tuple(history), reference)


def _prediction(chance: random.Random, case: StepCase) -> Prediction:
    right = chance.random() < 0.5
    if case.reference.decision == "conclusion":
        wrote = _shuffled(chance, case.reference.answer or "", 10 if right else ANSWER_WORDS)
        return _read("conclusion", RoleText("summarizer", wrote))
    call = case.reference.call if right else _call(chance, chance.choice(case.tools).name)
    return _read("caller", RoleText("caller", call.text if call else ""))


def _read(decision: str, result: RoleText) -> Prediction:
    return read_prediction([RoleText("planner", f"So be it. Next: {decision}."), result])


def _run(pairs: list[Pair]) -> Run:
    about = RunRecord(suite="made up", cases=len(pairs), constrained=True, template="toolbench", models={})
    predictions = (
        PredictionRecord.of(item.case.id, map(_output, item.prediction.texts)) for item in pairs if item.prediction
    )
    return Run(about, tuple(CaseRecord.of(item.case) for item in pairs), tuple(predictions))


def _output(text: RoleText) -> OutputRecord:
    return OutputRecord(
        role=text.role, prompt_sha256=DIGEST, text=text.text, prompt_tokens=900, completion_tokens=60, total_ms=700
    )


def _tool(number: int) -> Tool:
    properties: dict[str, Any] = {name: {"type": "string", "description": f"the {name}"} for name in PARAMETERS}
    return Tool(f"tool_{number}_for_weather", "It answers.", {"type": "object", "properties": properties})


def _call(chance: random.Random, name: str) -> Call:
    return parse_call(write_call(name, {parameter: chance.choice(WORDS) for parameter in PARAMETERS}))


def _text(chance: random.Random, words: int) -> str:
    """Sentences of about twelve words."""
    return " ".join(chance.choice(WORDS) + ("." if chance.random() < 1 / 12 else "") for _ in range(words))


def _shuffled(chance: random.Random, text: str, changes: int) -> str:
    words = text.split()
    for _ in range(changes):
        words[chance.randrange(len(words))] = chance.choice(WORDS)
    return " ".join(words)


def _megabytes(path: Path) -> int:
    return round(path.stat().st_size / 1e6)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--steps", type=int, default=STEPS, help="steps to measure")
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    return parser.parse_args()


def main() -> None:
    options = _options()
    rows = measure(options.steps)
    show(TITLE, rows)
    write_json(options.json, TITLE, rows)


if __name__ == "__main__":
    main()
