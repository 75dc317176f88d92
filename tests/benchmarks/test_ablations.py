"""The section about ablations says what the files hold, and names what has no run with the command that makes it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.made_up_trajectories import whole_run, written
from support.measured_steps import GAVE_UP, answered, call_of, case_of, right, run_of

from benchmarks.ablations import __main__ as command
from benchmarks.ablations.groups import grouped, held
from evaluation.files.published import Pair, pair
from evaluation.files.step_run import Run, write_run
from evaluation.steps import StepCase

SUITE = "three"
Write = Callable[[Sequence[str]], str]


def cases(trajectories: int = 40) -> list[StepCase]:
    """Two steps a trajectory: a call, then an answer."""
    call = call_of("weather", {"city": "Oslo"})
    return [
        case_of(
            f"{number}/{place}", decision="caller" if place == 1 else "conclusion", call=call if place == 1 else None
        )
        for number in range(trajectories)
        for place in (1, 2)
    ]


def steps(wrong: Iterable[str], trajectories: int = 40) -> list[Pair]:
    """Everything is right, but for these cases."""
    left = set(wrong)
    return [pair(case, GAVE_UP if case.id in left else right(case)) for case in cases(trajectories)]


def put(folder: Path, variant: str, mode: str, pairs: list[Pair], *, of: int | None = None) -> None:
    home = folder / f"{variant}-0"
    home.mkdir(parents=True, exist_ok=True)
    made = run_of(pairs)
    about = made.about.model_copy(update={"constrained": mode == "constrained"})
    write_run(home / f"{SUITE}-{mode}.jsonl", Run(about, made.cases, made.predictions[:of]))


def put_whole(folder: Path, variant: str, what: str, good: Sequence[bool | None], **changes: Any) -> None:
    home = folder / f"{variant}-0"
    home.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {"strategy": "single" if variant == "single-llm" else "chain"}
    about |= {"max_repeats": 64} if what == "-unguarded" else {}
    (home / f"sums-whole{what}.jsonl").write_text(written(whole_run(good, **about | changes)), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Single-LLM fails in half of the answers, the three roles in none; without grammars some calls fail, too."""
    found = tmp_path / "variants"
    answers = [f"{number}/2" for number in range(20)]
    put(found, "single-llm", "constrained", steps(answers))
    put(found, "single-llm", "free", steps([*answers, *(f"{number}/1" for number in range(12))]))
    put(found, "alpha-umi", "constrained", steps([]))
    put(found, "alpha-umi", "free", steps([]))
    put_whole(found, "single-llm", "", [number < 10 for number in range(40)])
    put_whole(found, "alpha-umi", "", [number < 30 for number in range(40)])
    put_whole(found, "alpha-umi", "-unguarded", [number < 29 for number in range(40)])
    return found


@pytest.fixture
def write(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Runs the command and returns its page."""
    page = tmp_path / "page.md"
    page.write_text("# Results\n", encoding="utf-8")

    def run(arguments: Sequence[str] = ()) -> str:
        given = ["--suite", SUITE, "--whole-suite", "sums", "--variant", "alpha-umi", "--page", str(page), *arguments]
        monkeypatch.setattr(sys, "argv", ["ablations", "--folder", f"small={folder}", *given])
        command.main()
        return page.read_text(encoding="utf-8")

    return run


def row(text: str, *cells: str) -> list[str]:
    """The one row that begins with these cells."""
    (found,) = (line for line in text.splitlines() if line.startswith(f"| {' | '.join(cells)} |"))
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_splitting_is_told_in_all_and_where(write: Write) -> None:
    text = write()
    constrained = row(text, "small", SUITE, "alpha-umi less single-llm, constrained")
    assert constrained[3] == "80 of 40"
    assert constrained[4].startswith("+25.0 (")
    assert constrained[4].endswith("**better**")
    assert constrained[5].startswith("+0.0 (")
    assert constrained[5].endswith("open")
    where = text.partition("alpha-umi less single-llm, constrained, by groups of steps**")[2]
    assert row(where.partition("**small")[0], "right: conclusion")[2].startswith("+50.0 (")
    assert row(where.partition("**small")[0], "right: caller")[2].endswith("open")
    assert row(where.partition("**small")[0], "1 to 2 tools")[1] == "80 of 40"
    assert "In 3 comparisons with `single-llm`" in text


def test_grammars_and_the_guard_are_left_out_each_alone(write: Write) -> None:
    text = write()
    without = row(text, "small", SUITE, "single-llm without grammars")
    assert without[5].startswith("-30.0 (")
    assert without[5].endswith("**worse**")
    assert row(text, "small", SUITE, "alpha-umi without grammars")[4].startswith("+0.0")
    whole = row(text, "small", "sums", "alpha-umi less single-llm")
    assert (whole[3], whole[5].split(" ")[0], whole[5].split(" ")[-1]) == ("40", "+50.0", "**better**")
    guard = row(text, "small", "sums", "alpha-umi without the guard against loops")
    assert guard[5].startswith("-2.5 (")
    assert guard[5].endswith("open")


def test_what_has_no_run_is_named_with_its_commands(write: Write, folder: Path) -> None:
    put(folder, "two-components", "constrained", steps([]), of=3)
    text = write(["--variant", "two-components", "--steps", "80"])
    missing = text.partition("### Not measured\n")[2]
    assert "`python -m benchmarks.variants --data PREPARED --config small --folder variants --variant si" in missing
    assert "--variant two-components --seed 0 --steps 80 --suite three`" in missing
    assert "two-components less single-llm, constrained" in missing
    assert "alpha-umi as a search" in missing
    assert "--strategy dfsdt --output variants/alpha-umi-0/SUITE-whole-dfsdt.jsonl`" in missing
    assert "`alpha-umi down`, then `ALPHA_UMI_CONSTRAINED=false alpha-umi up --models variants/alpha-umi-0/m" in missing
    assert (
        "two-components less single-llm: "
        "`alpha-umi train export variants/single-llm-0/run --output variants/two-components-0/models`, then "
        "`alpha-umi down`, then `alpha-umi up --single --models variants/two-components-0/models`, then "
        "`alpha-umi evaluate trajectories --suite SUITE --limit 50 --strategy single "
        "--output variants/single-llm-0/SUITE-whole.jsonl`, then "
        "`alpha-umi evaluate trajectories --suite SUITE --limit 50 "
        "--output variants/two-components-0/SUITE-whole.jsonl`"
    ) in missing
    assert "no second one has runs" in missing
    assert "alpha-umi less single-llm, constrained" not in missing


def test_a_second_backbone_has_rows_of_its_own(write: Write, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "larger"
    for variant in ("single-llm", "alpha-umi"):
        put(other, variant, "constrained", steps([]))
    text = write(["--folder", f"large={other}"])
    assert row(text, "large", SUITE, "alpha-umi less single-llm, constrained")[4].startswith("+0.0")
    assert row(text, "small", SUITE, "alpha-umi less single-llm, constrained")[4].startswith("+25.0")
    assert "no second one has runs" not in text


def test_the_section_takes_the_place_of_its_own_alone(write: Write) -> None:
    once = write()
    assert write() == once
    assert once.startswith("# Results\n")
    assert once.count("<!-- begin ablations -->") == 1
    for block in re.findall(r"(?:^\|.*\n)+", once, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_runs_of_other_steps_are_refused(write: Write, folder: Path) -> None:
    put(folder, "alpha-umi", "constrained", steps([], trajectories=30))
    with pytest.raises(SystemExit, match="only the first file has the case"):
        write()


@pytest.mark.parametrize(
    ("variant", "what", "changes", "said"),
    [
        ("single-llm", "", {"strategy": "chain"}, "strategy chain and not single"),
        ("alpha-umi", "-unguarded", {"max_repeats": None}, "max_repeats None and not 64"),
        ("alpha-umi", "-free", {"constrained": True}, "constrained True and not False"),
        ("alpha-umi", "-dfsdt", {}, "strategy chain and not dfsdt"),
        ("alpha-umi", "-unguarded", {"models": {"planner": {"id": "another"}}}, "are of other models"),
    ],
)
def test_trajectories_that_were_asked_otherwise_are_refused(
    write: Write, folder: Path, variant: str, what: str, changes: dict[str, Any], said: str
) -> None:
    put_whole(folder, variant, what, [True] * 40, **changes)
    with pytest.raises(SystemExit, match=said):
        write()


@pytest.mark.parametrize("given", ["small", "small=", "small=/nowhere"])
def test_a_folder_that_is_none_is_refused(write: Write, given: str) -> None:
    with pytest.raises(SystemExit):
        write(["--folder", given])


def test_many_groups_are_many_looks() -> None:
    """What one look at 95 % calls better is not what a look at all groups does."""
    wrong = [f"{number}/2" for number in range(6)]
    groups = grouped(steps(wrong), steps([]))
    conclusion = next(group for group in groups if group.title == "right: conclusion")
    item = conclusion.differences[0]
    assert (item.metric.name, item.verdict) == ("decision_accuracy", "better")
    assert next(figure for figure in held(groups).figures if figure.item is item).confidence > 0.99


def test_an_answer_counts_by_its_words() -> None:
    """R-L has a figure only where an answer was right to give."""
    first = steps([])
    second = [pair(each.case, answered("Cold.") if each.case.reference.answer else right(each.case)) for each in first]
    groups = {group.title: group for group in grouped(first, second)}
    rouge = {title: group.differences[3].difference for title, group in groups.items()}
    assert rouge["right: caller"] is None
    assert rouge["right: conclusion"] is not None
    assert rouge["right: conclusion"] < 0
