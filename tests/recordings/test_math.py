r"""MATH in both layouts, with synthetic problems, and the equality of answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alpha_umi.roles.turns import Turn
from recordings.errors import CutShort, DataMissing, DuplicateId, EmptySuite, NotTheFormat
from recordings.formats import math
from recordings.formats.math import answer_of, boxed, is_right, is_same
from recordings.suites.suite import known_digests, load_suite
from recordings.trajectory import RecordedTrajectory
from training.filters import contamination_filter

PROBLEM = {
    "problem": "What is the sum of the first $10$ odd numbers?",
    "level": "Level 2",
    "type": "Algebra",
    "solution": "They are the squares' differences, so their sum is $10^2=\\boxed{100}$.",
}
LINE = {
    "problem": "Half of $1$?",
    "solution": "It is $\\boxed{\\frac12}$.",
    "answer": "\\frac{1}{2}",
    "subject": "Algebra",
    "level": 1,
    "unique_id": "test/algebra/1.json",
}


def folder_of(path: Path, problems: dict[str, Any]) -> Path:
    """A folder in the published layout: SUBJECT/NUMBER.json."""
    for name, problem in problems.items():
        file = path / "test" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(problem if isinstance(problem, str) else json.dumps(problem), encoding="utf-8")
    return path / "test"


def lines_of(path: Path, *lines: Any) -> Path:
    (path / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path / "test.jsonl"


def test_a_folder_of_subjects(tmp_path: Path) -> None:
    other = PROBLEM | {"solution": "Seen at once. \\boxed{x^{2}+\\sqrt{3}}"}
    loaded = math.load(folder_of(tmp_path, {"algebra/7": PROBLEM, "geometry/7": other}))
    assert [(each.id, each.answer) for each in loaded.trajectories] == [
        ("algebra/7", "100"),
        ("geometry/7", "x^{2}+\\sqrt{3}"),
    ]
    assert loaded.trajectories[0].instruction == PROBLEM["problem"]
    assert [tool.name for tool in loaded.trajectories[0].tools] == ["python"]


def test_lines(tmp_path: Path) -> None:
    (trajectory,) = math.load(lines_of(tmp_path, LINE)).trajectories
    assert (trajectory.id, trajectory.answer) == ("test/algebra/1.json", "\\frac{1}{2}")


def test_a_solution_without_an_answer_is_counted(tmp_path: Path) -> None:
    without = PROBLEM | {"solution": "Who knows? \\boxed{"}
    loaded = math.load(folder_of(tmp_path, {"algebra/1": without, "algebra/2": PROBLEM}))
    assert (len(loaded.trajectories), loaded.excluded) == (1, {"a solution without a boxed answer": 1})


def test_broken_problems_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotTheFormat, match=r"algebra/1\.json: solution"):
        math.load(folder_of(tmp_path, {"algebra/1": {"problem": "p"}}))
    with pytest.raises(CutShort, match=r"algebra/1\.json ends in the middle"):
        math.load(folder_of(tmp_path, {"algebra/1": '{"problem": "p'}))
    with pytest.raises(NotTheFormat, match=r"algebra/1\.json: .*should be a valid"):
        math.load(folder_of(tmp_path, {"algebra/1": "[1]"}))
    with pytest.raises(NotTheFormat, match="line 1: problem"):
        math.load(lines_of(tmp_path, LINE | {"problem": ""}))
    with pytest.raises(DuplicateId, match=r"test/algebra/1\.json"):
        math.load(lines_of(tmp_path, LINE, LINE))


def test_another_layout_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "1.json").write_text(json.dumps(PROBLEM), encoding="utf-8")
    with pytest.raises(NotTheFormat, match="has no SUBJECT/NUMBER") as refused:
        math.load(tmp_path / "test")
    assert "folder of the subjects" in (refused.value.remedy or "")


@pytest.mark.parametrize("name", ["math", "math-500"])
def test_missing_data_says_what_to_put_where(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataMissing) as refused:
        load_suite(name, tmp_path)
    assert "put " in (refused.value.remedy or "")
    assert "ALPHA_UMI_DATA" in (refused.value.remedy or "")


def test_a_suite_of_complete_trajectories_has_no_steps(tmp_path: Path) -> None:
    folder_of(tmp_path / "eval" / "MATH", {"algebra/7": PROBLEM})
    suite = load_suite("math", tmp_path)
    assert (len(suite.trajectories), suite.cases) == (1, ())
    (tmp_path / "eval" / "math_splits").mkdir()
    lines_of(tmp_path / "eval" / "math_splits", LINE | {"answer": " "})
    with pytest.raises(EmptySuite, match="'math-500' has no trajectory"):
        load_suite("math-500", tmp_path)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("so \\boxed{1} or \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}} at last", "\\frac{1}{2}"),
        ("\\fbox{3}", "3"),
        ("\\boxed{1} \\fbox{3}", "1"),
        ("\\boxed{never closed", None),
        ("\\boxed 5", None),
        ("nothing", None),
        ("\\boxed{}", ""),
    ],
)
def test_the_last_box(text: str, answer: str | None) -> None:
    assert boxed(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Thus \\boxed{4}, not $5$.", "4"),
        ("First $1$, then $\\frac{1}{2}$.", "\\frac{1}{2}"),
        ("It is $$x+1$$", "x+1"),
        ("It costs \\$5, so $7$.", "7"),
        ("42.", "42"),
        ("", ""),
    ],
)
def test_where_an_answer_stands(text: str, answer: str) -> None:
    assert answer_of(text) == answer


SAME = [
    ("\\tfrac{1}{2}", "\\dfrac12"),
    ("\\frac1{72}", "\\frac{1}{72}"),
    ("\\frac34i", "\\frac{3}{4}i"),
    ("1/2", "\\frac{1}{2}"),
    ("-3/4", "\\frac{-3}{4}"),
    ("0.5", "\\frac12"),
    (".5", "1/2"),
    ("10\\text{ units}", "10 "),
    ("\\$10", "10"),
    ("10\\%", "10"),
    ("90^\\circ", "90^{\\circ}"),
    ("\\left(x-2\\right)\\left(x+2\\right)", "(x-2)(x+2)"),
    ("10\\sqrt{3} + \\sqrt4", "10\\sqrt3+\\sqrt{4}"),
    ("x = 5", "5"),
    ("k=5", "5"),
    ("1{,}000\\!", "1{,}000"),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"),
    ("a \\frac", "a \\frac"),
]
OTHER = [
    ("10, 4, -2", "4, 10, -2"),
    ("10\\text{ units}", "100"),
    ("5x - 7y = 0", "x + y = 0"),
    ("0.25", "1/4"),
    ("01/2", "1/2"),
    ("x+1", "1+x"),
    ("10%", "10"),
    ("a \\frac", "a\\frac"),
    ("1\\text{ m}\\text{ s}", "1"),
    ("\\sqrt", "\\sqrt{}"),
    ("", "0"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_answer(one: str, other: str) -> None:
    assert is_same(one, other)
    assert is_same(other, one)
    assert is_right(f"Therefore it is \\boxed{{{one}}}.", other) is (boxed(f"\\boxed{{{one}}}") == one)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_answer(one: str, other: str) -> None:
    assert not is_same(one, other)
    assert not is_same(other, one)


def test_no_answer_is_wrong() -> None:
    assert not is_right(None, "1")
    assert not is_right("", "1")


def test_training_leaves_its_problems_out_where_they_are_at_hand(tmp_path: Path) -> None:
    """There are no recorded digests of MATH: they are computed from its data, and empty without it."""
    assert known_digests("math", tmp_path) == frozenset()
    problem = RecordedTrajectory("x", (), (Turn("user", str(PROBLEM["problem"])),))
    assert contamination_filter((), tmp_path, None).reason(problem) is None
    folder_of(tmp_path / "eval" / "MATH", {"algebra/7": PROBLEM})
    assert contamination_filter((), tmp_path, None).reason(problem) == "an instruction of the suite math"
