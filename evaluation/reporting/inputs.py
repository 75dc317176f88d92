"""The inputs of a report: step runs and trajectory runs, each once and labelled, with verdicts and notes."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from string import ascii_uppercase
from typing import Final

from alpha_umi.quantities import pluralize
from alpha_umi.trajectory import Limits
from evaluation.errors import NoReference
from evaluation.files.predictions import role_costs
from evaluation.files.published import Pair
from evaluation.files.step_run import TRAJECTORY_KINDS, PredictionRecord, Run, read_run
from evaluation.files.trajectory_run import TrajectoryRun, read_trajectory_run
from evaluation.judge.report import JudgeReport, judge_report
from evaluation.judge.verdicts import VerdictRecord, Verdicts, read_verdicts
from evaluation.metrics.trajectory import Measured
from evaluation.page.blocks import Block, Paragraph, verbatim
from evaluation.reporting.format import suite_command_lines
from evaluation.results import (
    FigureReport,
    ScoreReport,
    TrajectoryReport,
    excluded_sentence,
    score_report,
    trained_on_sentences,
    trajectory_report,
)
from evaluation.scoring import score
from evaluation.statistics.bootstrap import RESAMPLES, SEED
from recordings.errors import DuplicateId, EmptySuite
from recordings.reading import read_text

SUFFIX = ".jsonl"
_GRAMMARS = {True: "constrained", False: "unconstrained"}
# Characters that an anchor of a page must not have.
_UNNAMED = re.compile(r"[^A-Za-z0-9_]+")
_ONCE = "name each run once"
# Files do not record the addresses of servers or their keys.
_TOOL_SERVER = "http://HOST:8080"
_AGAIN = "run the command that made it again, or omit the file"
# The paper's names of the parts of ToolBench's questions, by the prefix of our question ids.
PARTS: Final = {
    "G1_instruction": "I1-Inst.", "G1_tool": "I1-Tool", "G1_category": "I1-Cat.",
    "G2_instruction": "I2-Inst.", "G2_category": "I2-Cat.", "G3_instruction": "I3-Inst.",
}  # fmt: skip
PART: Final = "PART"


@dataclass(frozen=True)
class RunLabel:
    """The label of a run in a report: a letter, and the shortest unique end of its path."""

    key: str
    name: str
    path: Path

    @property
    def title(self) -> str:
        """Letter and name, as in tables and charts."""
        return f"{self.key} {self.name}"

    def anchor(self, *parts: object) -> str:
        """An anchor of the page that belongs to this run."""
        return "-".join([self.key.lower(), *(_UNNAMED.sub("-", str(part)) for part in parts)])


@dataclass(frozen=True)
class StepsRun:
    """A step run with its scores."""

    named: RunLabel
    run: Run
    pairs: tuple[Pair, ...]
    report: ScoreReport

    @cached_property
    def predictions(self) -> dict[str, PredictionRecord]:
        """The prediction records by case id."""
        return {prediction.id: prediction for prediction in self.run.predictions}

    @cached_property
    def cases_digest(self) -> str:
        """The digest of the cases. Only runs with equal digests are compared."""
        return _digest(case.model_dump_json() for case in self.run.cases)

    @property
    def mode(self) -> str:
        """The mode of the run: its settings, as a phrase."""
        return _GRAMMARS[self.run.about.constrained]

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that generate the file and that print its figures."""
        about, name = self.run.about, self.named.path.name
        single = ["--strategy", "single"] if "backbone" in about.models else []
        mode = "--constrained" if about.constrained else "--unconstrained"
        wanted = ["--suite", about.suite, "--limit", str(about.cases), mode, *single]
        made = shlex.join(["alpha-umi", "evaluate", "generate", *wanted, "--output", name])
        return made, shlex.join(["alpha-umi", "evaluate", "score", name]), *suite_command_lines(about.suite, name)


@dataclass(frozen=True)
class TrajectoriesRun:
    """A trajectory run with its figures, the digest of its file, and the verdicts on it."""

    named: RunLabel
    run: TrajectoryRun
    measured: tuple[Measured, ...]
    report: TrajectoryReport
    sha256: str
    verdicts: tuple[RunVerdicts, ...] = ()

    @property
    def mode(self) -> str:
        """The mode of the run; files of earlier versions do not record whether grammars constrained the roles."""
        about = self.run.about
        return about.strategy if about.constrained is None else f"{about.strategy}, {_GRAMMARS[about.constrained]}"

    @cached_property
    def questions_digest(self) -> str:
        """Equal for runs of the same questions, with the same tools and the same comparison of answers."""
        about = self.run.about
        records = ((each, each.trajectory) for each in self.run.records)
        questions = ([each.recorded, each.expected, one.instruction, sorted(one.tools)] for each, one in records)
        return _digest([json.dumps([about.compared, about.trajectories]), *map(json.dumps, questions)])

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that make the file and print its figures, after a comment with the orchestrator's settings."""
        about, name = self.run.about, self.named.path.name
        wanted = ["--suite", about.suite, "--limit", str(about.trajectories), "--strategy", about.strategy]
        made = ["alpha-umi", "evaluate", "trajectories", *wanted, *self._bounds(), "--output", name]
        shown = ["alpha-umi", "evaluate", "score", name, "--format", "trajectories"]
        return *self._settings(), shlex.join(made), shlex.join(shown)

    def _settings(self) -> Iterator[str]:
        """The orchestrator's settings for these trajectories, as a shell comment."""
        names = (item.name for item in fields(Limits))
        limits = [f"{name}={' or '.join(values)}" for name in names if (values := self.run.limit_values(name))]
        grammars = [] if self.run.about.constrained is None else [f"constrained={self.run.about.constrained}"]
        if limits:
            yield f"# the orchestrator's settings: {', '.join([*limits, *grammars])}"

    def _bounds(self) -> list[str]:
        """The options for limits and for the tool server, where the run has them."""
        about, server = self.run.about, self.run.about.tool_server
        given: dict[str, object] = {
            "--max-steps": about.max_steps,
            "--max-tokens": about.max_tokens,
            "--max-repeats": about.max_repeats,
        }
        if server is not None:
            given |= {"--tool-server": _TOOL_SERVER, "--strip": server.strip}
            given["--max-observation"] = server.max_characters
        return [word for option, value in given.items() if value is not None for word in (option, str(value))]


AnyRun = StepsRun | TrajectoriesRun


def read_runs(paths: Sequence[Path], bootstrap: BootstrapOptions) -> list[AnyRun]:
    """Read run files of either kind.

    Raises `EvaluationError` for a file that is not a run, for an empty run, and for a run that is given twice.
    """
    texts = [read_text(path) for path in paths]
    _refuse_twice(paths, texts)
    return [_read(named, text, bootstrap) for named, text in zip(_named(paths), texts, strict=True)]


def with_verdicts(runs: Sequence[AnyRun], paths: Sequence[Path], bootstrap: BootstrapOptions) -> list[AnyRun]:
    """The runs, each with the verdicts on exactly its file.

    Raises `EvaluationError` for a file without verdicts, for verdicts on a run that is not given, and for a file
    that is given twice.
    """
    verdicts = [read_run_verdicts(path, bootstrap) for path in paths]
    for place, judged in enumerate(verdicts):
        if judged.file in [earlier.file for earlier in verdicts[:place]]:
            raise DuplicateId(f"the verdicts of {judged.path} are given twice", remedy=_ONCE)
        _require_run(judged, runs)
    return [_with(run, verdicts) if isinstance(run, TrajectoriesRun) else run for run in runs]


def _with(run: TrajectoriesRun, verdicts: Sequence[RunVerdicts]) -> TrajectoriesRun:
    return replace(run, verdicts=tuple(each for each in verdicts if each.file.about.run_sha256 == run.sha256))


def _require_run(judged: RunVerdicts, runs: Sequence[AnyRun]) -> None:
    if judged.file.about.run_sha256 not in [run.sha256 for run in runs if isinstance(run, TrajectoriesRun)]:
        raise NoReference(
            f"{judged.path} has verdicts on a run of {judged.file.about.suite} that is not given",
            remedy="also give the judged file, unchanged since then",
        )


def _read(named: RunLabel, text: str, bootstrap: BootstrapOptions) -> AnyRun:
    if _kind(text) in TRAJECTORY_KINDS:
        return _read_trajectories(named, text, bootstrap)
    run = read_run(named.path)
    if not run.predictions:
        raise EmptySuite(f"{named.path} has no prediction yet", remedy=_AGAIN)
    pairs = tuple(run.pairs())
    scores = score(pairs, resamples=bootstrap.resamples, seed=bootstrap.seed)
    return StepsRun(named, run, pairs, score_report(scores, run.about, role_costs(run.predictions)))


def _kind(text: str) -> object:
    """The `kind` of the first non-empty line, even if that line is truncated; None without one."""
    first = next(filter(str.strip, text.split("\n")), "null")
    try:
        head = json.loads(first)
    except (ValueError, RecursionError):
        return next((kind for kind in TRAJECTORY_KINDS if f'"{kind}"' in first), None)
    return head.get("kind") if isinstance(head, dict) else None


def _read_trajectories(named: RunLabel, text: str, bootstrap: BootstrapOptions) -> TrajectoriesRun:
    run = read_trajectory_run(named.path)
    if not run.records:
        raise EmptySuite(f"{named.path} has no trajectory yet", remedy=_AGAIN)
    report = trajectory_report(run, resamples=bootstrap.resamples, seed=bootstrap.seed)
    return TrajectoriesRun(named, run, tuple(run.measured()), report, hashlib.sha256(text.encode()).hexdigest())


def _digest(lines: Iterable[str]) -> str:
    """The digest of the lines in any order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="replace")).hexdigest()


def _refuse_twice(paths: Sequence[Path], texts: Sequence[str]) -> None:
    for place, path in enumerate(paths):
        if path in paths[:place]:
            raise DuplicateId(f"{path} is given twice", remedy=_ONCE)
        if texts[place].strip() and texts[place] in texts[:place]:
            there = paths[texts.index(texts[place])]
            raise DuplicateId(f"{path} is the same run as {there}", remedy=_ONCE)


def _named(paths: Sequence[Path]) -> list[RunLabel]:
    """Label runs by the shortest ends of their paths that are unique."""
    parts = [path.resolve().with_suffix("").parts if path.suffix == SUFFIX else path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            break
    return [RunLabel(_letters(place), name, path) for place, (name, path) in enumerate(zip(names, paths, strict=True))]


def _letters(place: int) -> str:
    """A to Z, then AA to ZZ and so on."""
    before, last = divmod(place, len(ascii_uppercase))
    return (_letters(before - 1) if before else "") + ascii_uppercase[last]


@dataclass(frozen=True)
class RunVerdicts:
    """A file of verdicts with its figures."""

    path: Path
    file: Verdicts
    report: JudgeReport

    @property
    def title(self) -> str:
        """The judge's procedure and model."""
        about = self.file.about
        return f"{about.procedure}, {about.model}" + (f", {about.repeat} times each" if about.repeat > 1 else "")

    @cached_property
    def figures_by_part(self) -> dict[str, dict[str, FigureReport]]:
        """The figures by part of ToolBench's questions; empty for other questions."""
        parts: dict[str, list[VerdictRecord]] = {}
        for verdict in self.file.verdicts:
            if part := part_of(verdict.recorded):
                parts.setdefault(part, []).append(verdict)
        return {part: self._figures(verdicts) for part, verdicts in parts.items()}

    def _figures(self, verdicts: Sequence[VerdictRecord]) -> dict[str, FigureReport]:
        of_part = Verdicts(self.file.about, tuple(verdicts))
        return judge_report(of_part, resamples=self.report.resamples, seed=self.report.seed).figures

    def on(self, recorded: str) -> list[VerdictRecord]:
        """The verdicts on a trajectory."""
        return [verdict for verdict in self.file.verdicts if verdict.recorded == recorded]

    def blocks(self, recorded: str) -> Iterator[Block]:
        """The verdicts on a trajectory, with the judge's texts."""
        for verdict in self.on(recorded):
            labels = ", ".join(f"{label}: {value}" for label, value in verdict.labels.items())
            text = labels or "no label"
            yield Paragraph(f"Verdict {verdict.repeat + 1} ({self.title}; {verdict.basis}): {text}.")
            for question in verdict.questions:
                yield verbatim(f"The judge wrote to {question.name}", "\n".join(question.texts) or "(nothing)")


def read_run_verdicts(path: Path, bootstrap: BootstrapOptions) -> RunVerdicts:
    """Read a file of verdicts. Raises `EvaluationError`."""
    verdicts = read_verdicts(path)
    return RunVerdicts(path, verdicts, judge_report(verdicts, resamples=bootstrap.resamples, seed=bootstrap.seed))


@dataclass(frozen=True)
class BootstrapOptions:
    """The resamples of the bootstrap, and its seed."""

    resamples: int = RESAMPLES
    seed: int = SEED


def remarks(runs: Sequence[AnyRun]) -> Iterator[Paragraph]:
    """Notes on runs of the same suite; the exclusions of the suite are listed once."""
    excluded = {sentence for run in runs if (sentence := excluded_sentence(run.run.about.excluded))}
    yield from (Paragraph(f"{sentence[0].upper()}{sentence[1:]}.") for sentence in sorted(excluded))
    for run in runs:
        warned = [*trained_on_sentences(run.run.about.models), *_incomplete(run)]
        yield from (Paragraph(f"{run.named.title}: {sentence}.", warning=True) for sentence in warned)


def _incomplete(run: AnyRun) -> Iterator[str]:
    if isinstance(run, StepsRun) and run.report.missing:
        yield f"{pluralize(len(run.report.missing), 'step')} without a prediction, counted as wrong"
    elif not isinstance(run, StepsRun) and run.report.not_run:
        yield f"not run yet, and counted as failed: {pluralize(run.report.not_run, 'trajectory')}"


def part_of(question: str) -> str | None:
    """The part of ToolBench's questions in an id (`G1_tool/7`); None for any other id."""
    part, slash, _ = question.partition("/")
    return part if slash and part in PARTS else None
