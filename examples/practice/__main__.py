"""The command: `python -m examples.practice --output FOLDER [--questions 400] [--seed 1] [--all-tools 0.5]`.

It writes `trajectories.jsonl` and `tools.json`, the training format of recorded trajectories. No call that a question
of `examples/*instructions.jsonl` needs is among them, so those remain test sets; `--exclude` names further ones.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from examples.practice.calling import ToolApi
from examples.practice.course import Course, Json, Kind
from examples.practice.kinds import KINDS
from examples.practice.writing import WRITTEN, offered, tool_sets, trajectory

TESTED = tuple(sorted(Path(__file__).parents[1].glob("*instructions.jsonl")))
# The fields of an observation that say what the call is about, if not all of them do. Equal calls may be written
# differently (PT, Portugal).
_SUBJECTS: Mapping[str, Sequence[str]] = {
    "current_time": ("time_zone",), "sun_times": ("city", "date"), "public_holidays": ("country", "year"),
}  # fmt: skip


def main() -> None:
    """Write the two files into a folder, which is created."""
    options = _options()
    api = ToolApi(WRITTEN)
    excluded = [*TESTED, *options.exclude]
    made = practice(
        api, options.questions, options.seed, options.tool_sets, all_tools=options.all_tools, excluded=excluded
    )
    lines = [json.dumps(each, ensure_ascii=False) for each in made]
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "trajectories.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    tools = {"object": "list", "data": api.described()}
    (options.output / "tools.json").write_text(json.dumps(tools, indent=2) + "\n", encoding="utf-8")
    print(f"{options.output}: {len(lines)} trajectories")


def practice(
    api: ToolApi,
    questions: int,
    seed: int,
    tool_set_count: int,
    *,
    all_tools: float = 0.5,
    excluded: Sequence[Path] = TESTED,
    kinds: Mapping[Kind, int] = KINDS,
) -> Iterator[Json]:
    """`questions` trajectories, without repeated questions, and without calls that the excluded files need."""
    draw = random.Random(seed)  # noqa: S311 - nothing here is a secret
    sets = tool_sets(draw, api.names, tool_set_count)
    instructions, tested = set[str](), calls_of_tests(api, excluded)
    while len(instructions) < questions:
        api.now = WRITTEN + dt.timedelta(minutes=draw.randrange(-(10**6), 10**6))
        course = Course(api, draw)
        kind = draw.choices(list(kinds), list(kinds.values()))[0]
        try:
            question = kind(course)
            tools = offered(draw, sets, {call.tool for call in course.calls}, question.lacks, all_tools)
        except LookupError:
            continue
        # Called again: a call may have failed, and would otherwise not be known.
        subjects = {subject_of(call.tool, api.call(call.tool, call.arguments).content) for call in course.calls}
        if question.instruction in instructions or tested & subjects:
            continue
        instructions.add(question.instruction)
        yield trajectory(len(instructions), question, course, tools)


def calls_of_tests(api: ToolApi, paths: Sequence[Path]) -> set[str]:
    """What the calls of these files of questions are about."""
    lines = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    calls = [call for line in lines for call in line["calls"]]
    return {subject_of(call["tool"], api.call(call["tool"], call["arguments"]).content) for call in calls}


def subject_of(tool: str, observation: str) -> str:
    """What a call is about, the same for equal calls that are written differently."""
    try:
        shown = json.loads(observation)
    except ValueError:  # an error
        return f"{tool} {observation}"
    return f"{tool} {[shown[field] for field in _SUBJECTS.get(tool, shown)]}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.practice", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--questions", type=int, default=400, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws the questions (default: %(default)s)")
    parser.add_argument("--tool-sets", type=int, default=16, help="how many to offer (default: %(default)s)")
    parser.add_argument("--all-tools", type=float, default=0.5, help="share with all tools (default: %(default)s)")
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], help="further files of test questions")
    return parser.parse_args()


if __name__ == "__main__":
    main()
