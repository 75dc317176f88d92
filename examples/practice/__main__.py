"""The command: `python -m examples.practice --output FOLDER [--questions 400] [--seed 1] [--most-tools 12]`.

It writes `trajectories.jsonl` and `tools.json`, the training format of recorded trajectories. No call of
`examples/instructions.jsonl` is among them, so those questions remain a test set.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

from examples.practice.calling import ToolApi
from examples.practice.course import Course, Json, Kind, Question
from examples.practice.subjects import calendar, clocks, numbers, places, refusals, sky, units
from examples.practice.writing import WRITTEN, offered, trajectory

TESTED = Path(__file__).parents[1] / "instructions.jsonl"
# The relative frequency of each kind of question.
KINDS: dict[Kind, int] = {
    calendar.weekday: 2, calendar.later: 4, calendar.apart: 3, calendar.how_many_holidays: 2,
    calendar.when_is_holiday: 1, calendar.weekday_of_holiday: 3, sky.sunrise_or_sunset: 4, sky.day_length: 1,
    sky.two_days: 3, sky.moon: 2, clocks.elsewhere: 4, clocks.offset: 2, units.one_quantity: 5, units.two_quantities: 3,
    places.country: 2, places.everyday_name: 1, places.currency: 1, places.language: 2, places.country_and_currency: 3,
    numbers.statistics: 3, numbers.text: 3, refusals.impossible: 1,
}  # fmt: skip


def main() -> None:
    """Write the two files into a folder, which is created."""
    options = _options()
    api = ToolApi(WRITTEN)
    made = practice(api, options.questions, options.seed, options.most_tools)
    lines = [json.dumps(each, ensure_ascii=False) for each in made]
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "trajectories.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    tools = {"object": "list", "data": api.described()}
    (options.output / "tools.json").write_text(json.dumps(tools, indent=2) + "\n", encoding="utf-8")
    print(f"{options.output}: {len(lines)} trajectories")


def practice(api: ToolApi, questions: int, seed: int, most_tools: int) -> Iterator[Json]:
    """`questions` trajectories, without repeated questions, and without calls of the example instructions."""
    draw = random.Random(seed)  # noqa: S311 - nothing here is a secret
    instructions, tested = set[str](), _tested_calls()
    while len(instructions) < questions:
        course = Course(api, draw)
        kind = draw.choices(list(KINDS), list(KINDS.values()))[0]
        question = _draw_question(kind, course)
        if question is None or question.instruction in instructions or tested & _calls(course):
            continue
        instructions.add(question.instruction)
        tools = offered(draw, api.names, [call.tool for call in course.calls], most_tools)
        yield trajectory(len(instructions), question, course, tools)


def _draw_question(kind: Kind, course: Course) -> Question | None:
    try:
        return kind(course)
    except LookupError:
        return None


def _calls(course: Course) -> set[str]:
    return {_call(call.tool, call.arguments) for call in course.calls}


def _tested_calls() -> set[str]:
    lines = [json.loads(line) for line in TESTED.read_text(encoding="utf-8").splitlines()]
    return {_call(call["tool"], call["arguments"]) for line in lines for call in line["calls"]}


def _call(tool: str, arguments: Json) -> str:
    return f"{tool} {json.dumps(arguments, sort_keys=True)}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.practice", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the two files")
    parser.add_argument("--questions", type=int, default=400, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws the questions (default: %(default)s)")
    parser.add_argument("--most-tools", type=int, default=12, help="maximum of offered tools (default: %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
