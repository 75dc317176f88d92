"""BFCL, the Berkeley Function Calling Leaderboard: its questions of one turn, in the layout of its own package.

    BFCL_v4_CATEGORY.json                     lines of {"id", "question": [[{"role", "content"}]], "function": [...]}
    possible_answer/BFCL_v4_CATEGORY.json     lines of {"id", "ground_truth": [{NAME: {PARAMETER: [VALUE, ...]}}]}

A question is one step: the expected call with the first acceptable value of each parameter (optional parameters are
omitted), or giving up where no offered function can help (the irrelevance categories). This is only one of the correct
calls: the package's own checker decides whether a call is correct (`alpha-umi evaluate bfcl`).

Questions that a single call cannot answer are excluded and counted: parallel calls, values in the notation of Java and
JavaScript, questions without a reference call, and conversations. Their instructions stay in the suite's digests, so
that training excludes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from alpha_umi.roles.caller import write_call
from alpha_umi.roles.turns import Tool, Turn
from recordings.cases import NO_OTHER_TOOL, NO_SINGLE_CALL
from recordings.errors import NotTheFormat, UnknownSuite
from recordings.reading import CUT_REMEDY, Entry, OnInvalid, Text, parse_each, read_lines, refuse_duplicates, reject
from recordings.schemas import nested_schema
from recordings.trajectory import Loaded, RecordedTrajectory
from recordings.turns import plan_turn

PREFIX: Final = "BFCL_v4_"
# The kinds of categories, and why some are not evaluated: a step has one call.
CALLS: Final = ("simple_python", "multiple", "live_simple", "live_multiple")
NO_CALLS: Final = ("irrelevance", "live_irrelevance")
NOT_MEASURED: Final[Mapping[str, str]] = {
    "parallel": NO_SINGLE_CALL,
    "parallel_multiple": NO_SINGLE_CALL,
    "live_parallel": NO_SINGLE_CALL,
    "live_parallel_multiple": NO_SINGLE_CALL,
    "simple_java": "a call with values in the notation of another language",
    "simple_javascript": "a call with values in the notation of another language",
    "live_relevance": "a question of which no right call is named",
}
CATEGORIES: Final = (*CALLS, *NO_CALLS, *NOT_MEASURED)
SEVERAL_TURNS: Final = "a conversation of several turns"
# An acceptable value that marks an optional parameter.
_OPTIONAL: Final = ""


class Message(Entry):
    """A message of a question."""

    role: Literal["system", "user", "assistant"]
    content: str


class Function(Entry):
    """An offered function; its parameters are a JSON Schema except for the names of types."""

    name: Text
    description: str
    parameters: dict[str, Any]


class Question(Entry):
    """A question with its offered functions."""

    id: Text
    question: Annotated[list[Annotated[list[Message], Field(min_length=1)]], Field(min_length=1, max_length=1)]
    function: list[Function]


class Answer(Entry):
    """The expected calls of a question: for each parameter its acceptable values."""

    id: Text
    ground_truth: Annotated[list[Annotated[dict[str, dict[str, list[Any]]], Field(min_length=1, max_length=1)]], ...]


def category_of(question: str) -> str:
    """The category that a question's id begins with."""
    return question.rpartition("_")[0]


def files(path: Path, category: str) -> list[Path]:
    """The files of a category: its questions and, where there are some, its expected calls."""
    name = f"{PREFIX}{category}.json"
    return [path / name, *([path / "possible_answer" / name] if category in CALLS else [])]


def load(path: Path, categories: Sequence[str], on_invalid: OnInvalid = reject) -> Loaded:
    """The questions of some categories as trajectories. Raises `DataError`."""
    unknown = [each for each in categories if each not in CATEGORIES]
    if unknown:
        raise UnknownSuite(f"there is no category {unknown[0]!r}", remedy=f"there are {', '.join(CATEGORIES)}")
    excluded: Counter[str] = Counter()
    trajectories = [each for name in categories for each in _category(path, name, excluded, on_invalid)]
    return Loaded(tuple(trajectories), dict(excluded))


def _category(path: Path, name: str, excluded: Counter[str], on_invalid: OnInvalid) -> Iterator[RecordedTrajectory]:
    file, *answered = files(path, name)
    questions = read_lines(file, Question, on_invalid)
    refuse_duplicates([each.id for each in questions], f"{file}: questions")
    answers = {each.id: each for at in answered for each in read_lines(at, Answer, on_invalid)}

    def to_trajectory(question: Question) -> RecordedTrajectory:
        reason = NOT_MEASURED.get(name) or _unfit(question)
        excluded.update([reason] if reason else [])
        steps = () if reason else _steps(question, answers, name, f"{file}, {question.id!r}")
        tools = tuple(_tool(each) for each in question.function)
        return RecordedTrajectory(question.id, tools, (Turn("user", _instruction(question)), *steps))

    yield from parse_each(questions, to_trajectory, on_invalid)


def _unfit(question: Question) -> str | None:
    if [message.role for message in question.question[0]] not in (["user"], ["system", "user"]):
        return SEVERAL_TURNS
    return None if question.function else NO_OTHER_TOOL


def _instruction(question: Question) -> str:
    """The question, preceded by the system message if there is one."""
    return "\n\n".join(message.content for message in question.question[0] if message.content)


def _steps(question: Question, answers: Mapping[str, Answer], name: str, place: str) -> tuple[Turn, ...]:
    if name in NO_CALLS:
        return (plan_turn("", "give up"),)
    answer = answers.get(question.id)
    if answer is None or len(answer.ground_truth) != 1:
        raise NotTheFormat(f"{place}: possible_answer does not name exactly one expected call", remedy=CUT_REMEDY)
    ((called, values),) = answer.ground_truth[0].items()
    function = next((each for each in question.function if each.name == called), None)
    if function is None:
        raise NotTheFormat(f"{place}: the call is of {called!r}, which is not an offered function", remedy=CUT_REMEDY)
    return plan_turn("", "caller"), Turn("caller", write_call(called, _arguments(values, function.parameters)))


def _tool(function: Function) -> Tool:
    return Tool(function.name, function.description, nested_schema(function.parameters))


def _arguments(values: Mapping[str, Sequence[Any]], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The first acceptable value of each required parameter."""
    properties, required = schema.get("properties") or {}, schema.get("required") or ()
    return {
        name: _value(_first(options), properties.get(name) or {})
        for name, options in values.items()
        if options and (name in required or _OPTIONAL not in options)
    }


def _first(options: Sequence[Any]) -> Any:
    return next((each for each in options if each != _OPTIONAL), _OPTIONAL)


def _value(option: Any, schema: Mapping[str, Any]) -> Any:
    """A value as it is written: the parts of an object have acceptable values of their own."""
    if isinstance(option, dict):
        return _arguments({name: _options(each) for name, each in option.items()}, schema)
    if isinstance(option, list) and option and all(isinstance(each, dict) for each in option):
        return [_value(each, schema.get("items") or {}) for each in option]
    return option


def _options(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
