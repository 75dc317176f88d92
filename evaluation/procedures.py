"""Whether whole trajectories made the calls that ToolAlpaca's instructions want: a check without a judge.

This is not ToolAlpaca's Proc. and Ans., which a language model judges (`evaluation.judge`). It is stricter about the
calls, and knows nothing about the answer but that there is one:

- *golden calls made*: the wanted calls are among the calls that succeeded, in their order, with matching arguments, and
  no other call that succeeded could have changed anything;
- *... and answered*: the trajectory also completed with an answer that is not empty.

Arguments match when each wanted one is there with the same value, and there is no other; of those that are not required
an empty one is as good as none. Values are the same as text without case and outer space, `5` as `"5"`. Where the data
has a placeholder (`${animeId from searchAnime}`, `{start date}`) any value will do. A call could have changed something
unless its tool's name begins with a verb of `READING`; so a wanted call that is made twice counts as harm unless it
reads. Of `checkoutCart` the verb is `checkout`, which is none of them.

Instructions that want to ask the user first (`getDetails`) cannot be gone through without one, and those with a wanted
call that is no JSON object even with its placeholders filled cannot be checked; both are counted, whether they were
asked yet or not, and stand in no figure.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from alpha_umi.contract.roles import WireModel
from alpha_umi.contract.trajectories import Trajectory
from alpha_umi.roles.turns import Tool
from evaluation.errors import CasesDiffer
from evaluation.intervals import share_interval
from evaluation.report import FigureReport
from evaluation.whole_run import WholeRun
from recordings.errors import EmptySuite, NotTheFormat, some
from recordings.formats.toolalpaca_golden import ASK, json_object
from recordings.suites.sample import sample_trajectories
from recordings.suites.suite import Suite
from recordings.trajectory import RecordedTrajectory

READING: Final = (
    "check", "convert", "count", "fetch", "find", "get", "list", "lookup", "query", "read", "search", "show",
    "standardize", "verify", "view",
)  # fmt: skip
# How a trajectory did.
Outcome = Literal["made", "no call", "calls missing", "another order", "could have harmed"]
ASKS: Final = "it wants to ask the user"
NOT_CHECKED: Final = "a wanted call cannot be read"
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_ANY: Final = "${}"
_PLACEHOLDER: Final = re.compile(r'"?\$\{[^{}"]*\}?"?')
_NAMED: Final = re.compile(r"\$?\{[^{}]*\}")


@dataclass(frozen=True)
class WantedCall:
    """A call that an instruction wants. Of `optional` parameters an empty value need not be given."""

    name: str
    arguments: Mapping[str, Any]
    optional: frozenset[str]


class ProceduresReport(WireModel):
    """`evaluate procedures`. `outcomes` counts trajectories, `not_measured` instructions by the reason.

    `not_asked` are those that could be checked.
    """

    suite: str
    trajectories: int
    not_asked: int
    figures: dict[str, FigureReport]
    outcomes: dict[str, int]
    not_measured: dict[str, int]


def procedures_report(run: WholeRun, suite: Suite) -> ProceduresReport:
    """What became of a run's instructions. Raises `EvaluationError`: another suite, or nothing to check.

    Of trajectories that were not asked none is right, but for those that could not be checked anyway.
    """
    wanted = {each.id: wanted_calls(each) for each in _sample(run, suite)}
    asked = {record.recorded: record.trajectory for record in run.asked}
    checked: list[tuple[Outcome, bool]] = []
    for name, calls in wanted.items():
        if name in asked and not isinstance(calls, str):
            found = outcome(asked[name], calls)
            checked.append((found, found == "made" and _answered(asked[name])))
    if not checked:
        raise EmptySuite("there is no trajectory to check", remedy="name a run with at least one")
    not_measured = Counter(calls for calls in wanted.values() if isinstance(calls, str))
    not_asked = len(wanted) - not_measured.total() - len(checked)
    n = len(checked) + not_asked
    return ProceduresReport(
        suite=suite.label,
        trajectories=len(checked),
        not_asked=not_asked,
        figures={
            "golden_calls_made": _figure("golden calls made", sum(found == "made" for found, _ in checked), n),
            "golden_calls_made_and_answered": _figure("... and answered", sum(both for _, both in checked), n),
        },
        outcomes=dict(Counter(found for found, _ in checked).most_common()),
        not_measured=dict(not_measured),
    )


def _sample(run: WholeRun, suite: Suite) -> Sequence[RecordedTrajectory]:
    """The instructions that the run is of, asked or not yet. Raises `CasesDiffer` where the suite has them not."""
    sample = sample_trajectories(suite.trajectories, run.about.trajectories)
    known = {each.id for each in sample}
    unknown = [record.recorded for record in run.asked if record.recorded not in known]
    if unknown:
        raise CasesDiffer(
            f"the run has trajectories that {suite.label!r} has not: {some(unknown)}", remedy="name its run"
        )
    if len(sample) < run.about.trajectories:
        raise CasesDiffer(
            f"the run is of {run.about.trajectories:,} trajectories, and {suite.label!r} has {len(sample):,}",
            remedy="name the data that it was asked from with ALPHA_UMI_DATA",
        )
    return sample


def wanted_calls(recorded: RecordedTrajectory) -> tuple[WantedCall, ...] | str:
    """The calls that an instruction wants, or why they cannot be checked. Raises `NotTheFormat` without any."""
    if recorded.procedure is None:
        raise NotTheFormat("the suite has no golden calls", remedy="name a run of ToolAlpaca's suite")
    tools = {tool.name: tool for tool in recorded.tools}
    found = []
    for name, text in recorded.procedure.calls:
        if name == ASK:
            return ASKS
        arguments = json_object(_PLACEHOLDER.sub(json.dumps(_ANY), text))
        if arguments is None or name not in tools:
            return NOT_CHECKED
        required = tools[name].parameters.get("required", ())
        found.append(WantedCall(Tool(name).prompt_name, arguments, frozenset(arguments) - set(required)))
    return tuple(found)


def outcome(trajectory: Trajectory, wanted: Sequence[WantedCall]) -> Outcome:
    """How a trajectory did. Branches that a search left count as made: what they called was called."""
    made = [
        step.action for step in trajectory.steps if step.action and step.observation and not step.observation.is_error
    ]
    if not any(step.action for step in trajectory.steps):
        return "no call"
    matched: list[int] = []
    for call in wanted:
        start = matched[-1] + 1 if matched else 0
        place = next((at for at in range(start, len(made)) if matches(call, made[at].name, made[at].arguments)), None)
        if place is None:
            anywhere = all(any(matches(each, one.name, one.arguments) for one in made) for each in wanted)
            return "another order" if anywhere else "calls missing"
        matched.append(place)
    others = (one for at, one in enumerate(made) if at not in matched)
    return "made" if all(_reads(one.name) for one in others) else "could have harmed"


def matches(wanted: WantedCall, name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a call is the wanted one."""
    if Tool(name).prompt_name != wanted.name:
        return False
    needed = {key for key, value in wanted.arguments.items() if not (key in wanted.optional and _empty(value))}
    given = {key: value for key, value in arguments.items() if key in needed or not _empty(value)}
    return needed <= given.keys() and all(
        key in wanted.arguments and _same(wanted.arguments[key], value) for key, value in given.items()
    )


def _same(wanted: Any, given: Any) -> bool:
    match wanted, given:
        case str(), _ if wanted == _ANY or _NAMED.fullmatch(wanted.strip()):
            return True
        case dict(), dict():
            return wanted.keys() == given.keys() and all(_same(value, given[key]) for key, value in wanted.items())
        case list(), list():
            return wanted == [_ANY] or (len(wanted) == len(given) and all(map(_same, wanted, given)))
        case (dict() | list(), _) | (_, dict() | list()):
            return False
        case _:
            return _text(wanted) == _text(given)


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (value if isinstance(value, str) else json.dumps(value)).strip().casefold()


def _empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


def _reads(name: str) -> bool:
    """Whether the first word, or the first two (`look_up`), are a verb that reads."""
    words = [word.casefold() for word in _WORD.findall(name)[:2]]
    return not {"".join(words), *words[:1]}.isdisjoint(READING)


def _answered(trajectory: Trajectory) -> bool:
    return trajectory.status == "completed" and bool((trajectory.answer or "").strip())


def _figure(title: str, hits: int, n: int) -> FigureReport:
    return FigureReport.of(title, hits / n, n, share_interval(hits, n))
