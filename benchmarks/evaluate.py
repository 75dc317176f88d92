"""Time of an evaluation: 10,000 steps read from disk, scored with intervals, and compared.

    python -m benchmarks.evaluate [--steps 10000] [--json FILE]
    python -m benchmarks.evaluate --generate [--steps 64] [--concurrency 64] [--suite gsm8k] [--model FOLDER]

The steps are synthetic, with the sizes of tool-use data: five steps per trajectory, six tools with three parameters
each, answers of 150 words, and predictions of which half are correct. No model is used, except with `--generate`: then
the time of generating predictions is compared with the engine alone (`generation`).
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil

from alpha_umi.roles.caller import Call, parse_call, write_call
from alpha_umi.roles.turns import Tool, Turn
from benchmarks import generation
from benchmarks.generation import GENERATED, WAYS, measure_generation
from benchmarks.report import Row, show, write_json
from evaluation.compare import compare
from evaluation.files.outputs import Prediction, RoleText, read_prediction
from evaluation.files.published import Pair, pair, read_published_file, write_published_file
from evaluation.files.step_run import CaseRecord, OutputRecord, PredictionRecord, Run, RunRecord, read_run, write_run
from evaluation.scoring import score
from evaluation.statistics.bootstrap import RESAMPLES
from recordings.cases import Reference, StepCase
from recordings.suites.definition import data_folder
from recordings.suites.suite import load_suite

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
    started = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - started
    resident = psutil.Process().memory_info().rss / 1e6
    rows.append({"what": what, "steps": steps, "seconds": seconds, "steps/s": steps / seconds, "MB": resident})
    return result


def _pairs(rng: random.Random, steps: int) -> Iterator[Pair]:
    for case in synthetic_cases(rng, steps):
        yield pair(case, _prediction(rng, case))


def synthetic_cases(rng: random.Random, steps: int) -> Iterator[StepCase]:
    """Steps without predictions."""
    return (_case(rng, place) for place in range(steps))


def _case(rng: random.Random, place: int) -> StepCase:
    trajectory, step = divmod(place, STEPS_PER_TRAJECTORY)
    tools = tuple(_tool(number) for number in range(TOOLS))
    history = [Turn("user", _text(rng, 40))]
    for _ in range(step):
        call = write_call(rng.choice(tools).name, {"city": rng.choice(WORDS)})
        history += [
            Turn("planner", "I ask. Next: caller."),
            Turn("caller", call),
            Turn("observation", _text(rng, 60)),
        ]
    last = step == STEPS_PER_TRAJECTORY - 1
    reference = (
        Reference("conclusion", _text(rng, 20), answer=_text(rng, ANSWER_WORDS))
        if last
        else Reference("caller", _text(rng, 20), call=_call(rng, rng.choice(tools).name))
    )
    return StepCase(f"{trajectory}/{step + 1}", str(trajectory), step + 1, tools, tuple(history), reference)


def _prediction(rng: random.Random, case: StepCase) -> Prediction:
    right = rng.random() < 0.5
    if case.reference.decision == "conclusion":
        wrote = _shuffled(rng, case.reference.answer or "", 10 if right else ANSWER_WORDS)
        return _read("conclusion", RoleText("summarizer", wrote))
    call = case.reference.call if right else _call(rng, rng.choice(case.tools).name)
    return _read("caller", RoleText("caller", call.text if call else ""))


def _read(decision: str, result: RoleText) -> Prediction:
    return read_prediction([RoleText("planner", f"So be it. Next: {decision}."), result])


def _run(pairs: list[Pair]) -> Run:
    about = RunRecord(suite="synthetic", cases=len(pairs), constrained=True, template="toolbench", models={})
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


def _call(rng: random.Random, name: str) -> Call:
    return parse_call(write_call(name, {parameter: rng.choice(WORDS) for parameter in PARAMETERS}))


def _text(rng: random.Random, words: int) -> str:
    """Sentences of about twelve words."""
    return " ".join(rng.choice(WORDS) + ("." if rng.random() < 1 / 12 else "") for _ in range(words))


def _shuffled(rng: random.Random, text: str, changes: int) -> str:
    words = text.split()
    for _ in range(changes):
        words[rng.randrange(len(words))] = rng.choice(WORDS)
    return " ".join(words)


def _megabytes(path: Path) -> int:
    return round(path.stat().st_size / 1e6)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, help=f"steps to measure ({STEPS}, and {GENERATED} to generate)")
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    generating = parser.add_argument_group("generating")
    generating.add_argument("--generate", action="store_true", help="measure generating predictions instead")
    generating.add_argument("--concurrency", type=int, nargs="+", default=[64], help="steps in flight")
    generating.add_argument("--ways", choices=WAYS, nargs="+", default=[*WAYS], help="how the engine is reached")
    generating.add_argument("--suite", help="a suite's steps instead of synthetic ones")
    generating.add_argument("--model", type=Path, help="model folder of all roles instead of the embedded one")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = _options()
    if options.generate:
        title, rows = generation.TITLE, generation_rows(options)
    else:
        title, rows = TITLE, measure(options.steps or STEPS)
    show(title, rows)
    write_json(options.json, title, rows)


def generation_rows(options: argparse.Namespace) -> list[Row]:
    """The rows of generating."""
    steps = options.steps or GENERATED
    cases = tuple(synthetic_cases(random.Random(0), steps))  # noqa: S311 - nothing to guess
    if options.suite:
        cases = load_suite(options.suite, data_folder(os.environ)).cases[:steps]
    return measure_generation(options.model, cases, options.concurrency, options.ways)


if __name__ == "__main__":  # engines are started in processes that import this module again
    main()
