"""The complete report: its sections, the separation of different cases, and its bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.measured_steps import called, case_of, pairs_of, run_of
from support.synthetic_trajectories import record_of, step, trajectory, trajectory_run, written

from alpha_umi.trajectory import Limits
from evaluation.files.published import pair
from evaluation.files.step_run import write_run
from evaluation.files.trajectory_run import TrajectoryRun
from evaluation.page.blocks import CHARACTERS, Block, Fold, Listing, Paragraph, Section, Table
from evaluation.page.html import render_page
from evaluation.page.markdown import render_markdown
from evaluation.reporting.document import Report, report_sections
from evaluation.reporting.inputs import BootstrapOptions, read_runs

QUICK = BootstrapOptions(100)


def sections(*paths: Path, examples: int = 3) -> list[Section]:
    return report_sections(Report(read_runs(paths, QUICK), [], QUICK, examples))


def every(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Section | Fold):
            yield from every(block.blocks)


def tables(matches: Sequence[Block]) -> list[Table]:
    return [block for block in every(matches) if isinstance(block, Table)]


def table(matches: Sequence[Block], words: str) -> dict[str, list[str]]:
    """The texts of the first table with these words in its caption, by the heads of its rows."""
    rows = next(each.cells for each in tables(matches) if words in each.caption)
    return {row[0].text: [cell.text for cell in row[1:]] for row in rows}


@pytest.fixture
def given(tmp_path: Path) -> list[Path]:
    """Two runs over the same steps, one over others of the same suite, and two over trajectories."""
    paths = [tmp_path / f"{name}.jsonl" for name in ("one", "two", "other", "trajectories", "more")]
    write_run(paths[0], run_of(pairs_of({})))
    write_run(paths[1], run_of(pairs_of({"a/1": called("clock", "{}"), "b/1": None})))
    write_run(paths[2], run_of([pair(case_of("d/1"), called("weather", "{}"))]))
    paths[3].write_text(written(trajectory_run([True, False] * 15)))
    paths[4].write_text(written(trajectory_run([True] * 30)))
    return paths


def test_only_runs_over_the_same_cases_stand_side_by_side(given: list[Path]) -> None:
    matches = sections(*given)
    assert [section.title for section in matches] == [
        "What was measured",
        "The paper's tables, and ours",
        "three, steps, cases 1 of 2",
        "three, steps, cases 2 of 2",
        "shop, whole trajectories",
        "Verdicts of a judge",
        "More data: figures over the amount of training",
        "Training: cost, storage and losses",
        "Steps of A one",
        "Steps of B two",
        "Steps of C other",
        "Trajectories of D trajectories",
        "Trajectories of E more",
    ]
    captions = [each.caption for each in tables(matches)]
    assert any("differences from A one" in caption for caption in captions)
    assert not any("differences from C" in caption for caption in captions)
    (right,) = table(matches, "from D trajectories")["right answer"]
    assert right.startswith("+0.500 (+0.")
    assert right.endswith(" better")


def test_every_number_of_a_run_leads_to_a_list_and_the_list_to_a_step(given: list[Path]) -> None:
    matches = sections(*given)
    parts = [block for block in every(matches) if isinstance(block, Section) and block.anchor and block.blocks]
    lists = {part.anchor: part.blocks[0] for part in parts}
    folds = {block.anchor for block in every(matches) if isinstance(block, Fold)}
    linked = {cell.anchor for each in tables(matches) for row in each.cells for cell in row} - {None}
    assert len(linked) > 90
    for anchor in linked:
        behind = lists[anchor]
        assert isinstance(behind, Listing)
        assert behind.items
        assert {item.anchor for item in behind.items} <= folds


def test_a_number_that_is_no_zero_leads_somewhere(given: list[Path]) -> None:
    matches = tables(sections(*given))
    for each in matches[1:]:
        if "Table" in each.caption:
            continue
        for row in each.cells:
            for place, cell in enumerate(row[1:], start=1):
                if place not in each.texts:
                    assert (cell.anchor is None) == (cell.text in ("0", "–")), (each.caption, row)


def test_without_examples_there_are_figures_alone(given: list[Path]) -> None:
    matches, message = sections(*given, examples=0), sections(*given)
    assert [section.title for section in matches] == [section.title for section in message if not section.detail]
    texts = [[cell.text for row in each.cells for cell in row] for each in tables(matches)]
    assert texts == [[cell.text for row in each.cells for cell in row] for each in tables(message)][: len(texts)]
    page = render_page("figures", matches)
    contents = page[page.index("<nav") : page.index("</nav>")]
    assert page.count('<a href="#') == contents.count('<a href="#') > 0
    assert "Question 0?" in render_page("all", message)
    assert "Question 0?" not in page
    assert "Numbers lead to" not in page


def test_the_numbers_are_those_of_the_runs(given: list[Path]) -> None:
    matches = sections(*given)
    assert table(matches, "figures, each")["Plan ACC"] == ["1.000 (0.439 to 1.000), n 3", "0.667 (0.000 to 1.000), n 3"]
    classes = {name: counts[1:] for name, counts in table(matches, "error classes").items()}
    assert (classes["right"], classes["missing"], classes["wrong tool"]) == (["3", "1"], ["0", "1"], ["0", "1"])
    assert table(matches, "answered task")["D trajectories"][:2] == ["30 of 30", "0.270 (no interval)"]


def test_what_an_open_step_shows(given: list[Path]) -> None:
    page = render_page("A report", sections(*given))
    for message in (
        "The planner wrote (100 + 10 tokens, 20 ms)",
        "Let me see.",
        "The offered tools (2)",
        "Action: clock",
    ):
        assert message in page
    assert "3 of 3 steps are shown; one.jsonl has the others" in page


def test_a_search_is_rendered_with_its_branches(tmp_path: Path) -> None:
    # The second call is the first one again, so that the search goes back by one step.
    steps = [step(0), step(1, arguments={"item": 0}), step(2), step(3, "conclusion")]
    limits = Limits(max_steps=9, max_repeats=2, max_depth=9)
    record = record_of(trajectory(steps=steps), recorded="q0", strategy="dfsdt", limits=limits)
    (tmp_path / "one").write_text(written(TrajectoryRun(trajectory_run([True]).about, (record,))))
    titles = [block.title for block in every(sections(tmp_path / "one")) if isinstance(block, Section)]
    assert any(title.startswith("Step 2: caller, abandoned") for title in titles)
    assert any(title.startswith("Step 3: caller, continues step 1") for title in titles)


def test_long_files_and_long_texts_make_a_bounded_page(tmp_path: Path) -> None:
    prompt = "x" * 8_000
    pairs = [pair(case_of(f"{n}/1"), called("weather", f'{{"city": "{prompt}{"y" * 90_000}"}}')) for n in range(300)]
    write_run(tmp_path / "long.jsonl", run_of(pairs))
    matches = sections(tmp_path / "long.jsonl", examples=2)
    page = render_page("Long", matches)
    assert (tmp_path / "long.jsonl").stat().st_size > 25_000_000
    assert len(page) < 1_500_000
    assert prompt[: CHARACTERS // 2 - 100] in page
    assert "characters of the middle are left out" in page
    assert " of 300 steps are shown; long.jsonl has the others" in page
    assert len(render_markdown("Long", matches)) < 20_000


def test_a_text_of_eight_thousand_characters_is_rendered_in_full(tmp_path: Path) -> None:
    prompt = "".join(f"{n:04d} " for n in range(1_600))
    write_run(tmp_path / "one.jsonl", run_of([pair(case_of(trajectory=prompt), called("weather", "{}"))]))
    assert f"What is the weather of {prompt}?" in render_page("One", sections(tmp_path / "one.jsonl"))


def test_markdown_has_the_tables_and_the_commands_without_the_steps(given: list[Path]) -> None:
    text = render_markdown("A report", sections(*given))
    assert "| Plan ACC | 1.000 (0.439 to 1.000), n 3 |" in text
    assert "alpha-umi evaluate score one.jsonl" in text
    assert "| α-UMi with reuse | the paper's, 7B | 89.72 | 60.47 | 0.45 | 53.60 | 46.26 |" in text
    assert "the paper's table on mathematics (MATH and GSM8K) is left out" in text
    assert "wrote (100" not in text


def test_seal_tools_has_its_own_figures_as_well(tmp_path: Path) -> None:
    run = run_of(pairs_of({"a/1": called("clock", "{}")}))
    write_run(tmp_path / "one.jsonl", replace(run, about=run.about.model_copy(update={"suite": "seal-tools"})))
    own = table(sections(tmp_path / "one.jsonl"), "Seal-Tools' own figures")
    assert own["tool R"] == ["0.000 (no interval), n 1"]
    assert "format ACC" in own


@pytest.mark.parametrize(
    ("suite", "command", "tells"),
    [
        ("bfcl", "bfcl", "It accepts every right value of a parameter"),
        ("bfcl:multiple", "bfcl", "It accepts every right value of a parameter"),
        ("seal-tools", "seal-tools", "as in its table here"),
    ],
)
def test_steps_of_a_suite_with_figures_of_its_own_name_the_command(
    tmp_path: Path, suite: str, command: str, tells: str
) -> None:
    for name, others in (("one", {}), ("two", {"b/1": None})):
        run = run_of(pairs_of(others))
        write_run(tmp_path / f"{name}.jsonl", replace(run, about=run.about.model_copy(update={"suite": suite})))
    matches = sections(tmp_path / "one.jsonl", tmp_path / "two.jsonl")
    assert f"\nalpha-umi evaluate {command} one.jsonl\n" in render_markdown("r", matches[:1])
    assert f"\nalpha-umi evaluate {command} two.jsonl\n" in render_markdown("r", matches[:1])
    (message,) = [block.text for block in every(matches) if isinstance(block, Paragraph) and tells in block.text]
    assert message.startswith(f"`alpha-umi evaluate {command} RUN` ")


def test_runs_report_their_settings(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(written(trajectory_run([True, None], constrained=False, max_tokens=900)))
    text = render_markdown("r", sections(tmp_path / "one"))
    assert "| A one | shop | 1 whole trajectory, chain, unconstrained | not known |" in text
    assert "--limit 2 --strategy chain --max-tokens 900 --output one" in text
    assert "**A one: not run yet, and counted as failed: 1 trajectory.**" in text
