"""Preparing a mixture: deterministic, recorded, and atomic."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.synthetic_data import GLAIVE, mixture, own_folder, own_trajectory, says, tree, write_json, write_tool_set

from recordings.contamination import instruction_digest
from recordings.errors import DataError, FileUnreadable, NotTheFormat
from recordings.suites.definition import data_folder, read_definition, read_digests, suite_path
from training.errors import (
    BrokenEntries,
    CannotWrite,
    MixtureUnusable,
    NoEndOfTurn,
    NothingLeft,
    SourceMissing,
    TokenizerMissing,
)
from training.examples import ROLES, SPLITS, DatasetRecord, Split, read_examples, read_record
from training.filters import DUPLICATE, IN_DEV, OTHER_EVALUATIONS, read_overlaps
from training.mixture import Mixture, load_mixture, mixture_names
from training.prepare import prepare
from training.select import OTHER_TOOLS, TOO_MANY

QUESTIONS = [f"When is high tide on day {day}?" for day in range(8)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two tool sets of four questions; the second begins with one of the first."""
    write_tool_set(tmp_path / "data", "Sea__tides", QUESTIONS[:4])
    write_tool_set(tmp_path / "data", "Sea__lake", [QUESTIONS[0], *QUESTIONS[4:7]])
    return tmp_path / "data"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out" / "prepared"


def source(**fields: Any) -> list[dict[str, Any]]:
    return [mixture()["sources"][0] | fields]


def made(data: Path, model: Path, output: Path, *, skip_broken: bool = False, **fields: Any) -> DatasetRecord:
    described = Mixture.model_validate(mixture(**fields))
    return prepare(described, data, model, output, skip_broken=skip_broken)


def roles_of(folder: Path, split: Split) -> dict[str, int]:
    return {role: len(read_examples(folder, split, role)) for role in ("backbone", "planner", "caller", "summarizer")}


def test_a_folder_holds_what_it_says(data: Path, embedded_model: Path, output: Path) -> None:
    record = made(data, embedded_model, output, sources=source(dev_tool_sets=["Sea__lake"]))
    assert read_record(output) == record
    assert roles_of(output, "train") == {"backbone": 6, "planner": 6, "caller": 3, "summarizer": 3}
    assert roles_of(output, "dev") == {"backbone": 8, "planner": 8, "caller": 4, "summarizer": 4}
    tides = record.sources["tides"]
    assert (tides.read, tides.trajectories) == (8, {"train": 3, "dev": 4})
    assert tides.examples["train"] == roles_of(output, "train")
    assert tides.dropped == {"trajectories": {IN_DEV: 1}}
    assert record.trained_on == tuple(sorted(map(instruction_digest, QUESTIONS[1:4])))
    assert record.dev_tool_sets == ("Sea__lake",)
    tokens = record.tokens["train"]["caller"]
    assert (tokens.shortened, tokens.prompt_median > 100, 0 < tokens.targets < tokens.total) == (0, True, True)


def test_a_share_of_the_instructions_can_be_the_dev_split(data: Path, embedded_model: Path, output: Path) -> None:
    questions = [f"When is low tide on day {day}?" for day in range(40)]
    write_tool_set(data, "Sea__tides", questions)
    record = made(data, embedded_model, output, sources=source(dev_share=0.25))
    split = {name: {each.instruction_sha256 for each in read_examples(output, name, "planner")} for name in SPLITS}
    digests = {instruction_digest(each) for each in (*questions, QUESTIONS[0], *QUESTIONS[4:7])}
    # A quarter of all digests begin with one of four digits.
    assert split["dev"] == {digest for digest in digests if digest < "4"} != set()
    assert split["train"] == set(record.trained_on) == digests - split["dev"]


def test_chosen_tool_sets_are_those_of_train(data: Path, embedded_model: Path, output: Path) -> None:
    write_tool_set(data, "Sea__river", ["How long is the river?"])
    record = made(data, embedded_model, output, sources=source(tool_sets=["Sea__lake"], dev_tool_sets=["Sea__river"]))
    split = {
        name: {each.trajectory.split("/")[1] for each in read_examples(output, name, "planner")} for name in SPLITS
    }
    assert split == {"train": {"Sea__lake"}, "dev": {"Sea__river"}}
    assert record.sources["tides"].dropped["trajectories"][OTHER_TOOLS] == 4


def test_the_same_seed_makes_the_same_digest(data: Path, embedded_model: Path, output: Path) -> None:
    sources = source(at_most=4)
    first, again, other = (
        made(data, embedded_model, output.with_name(name), sources=sources, seed=seed)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert first.digest != other.digest
    assert first.sources["tides"].dropped["trajectories"] == {TOO_MANY: 3, DUPLICATE: 1}


def test_what_suites_measure_on_is_left_out(data: Path, embedded_model: Path, output: Path) -> None:
    held_out = read_definition(suite_path("rotbench-gpt4")).parts[0]
    write_tool_set(data, held_out, ["Is it windy?"])
    (data / "overlap.tsv").write_text(f"train_folder\tinstruction\ntides\t{QUESTIONS[1].upper()} \n")
    lines = [{"question": QUESTIONS[2], "answer": "<<1+1=2>>\n#### 2"}]
    (data / "sums.jsonl").write_text("\n".join(map(json.dumps, lines)))
    own = {"name": "sums", "title": "Sums", "loader": "gsm8k", "data": "sums.jsonl", "licence": "x", "source": "x"}
    suite = write_json(data / "sums.json", own)
    record = made(data, embedded_model, output, overlaps="overlap.tsv", suites=[str(suite)])
    assert record.sources["tides"].dropped["trajectories"] == {
        "a tool set of the suite rotbench-gpt4": 1,
        "an instruction of overlap.tsv": 1,
        f"an instruction of the suite {suite}": 1,
        DUPLICATE: 1,
    }
    assert not set(record.trained_on) & {instruction_digest(each) for each in (*QUESTIONS[1:3], "Is it windy?")}


def test_sources_without_rationales_can_have_short_ones(data: Path, embedded_model: Path, output: Path) -> None:
    write_json(data / "g.json", GLAIVE)
    glaive = {"name": "glaive", "format": "llama-factory", "data": "g.json", "licence": "x", "rationale": "filled"}
    made(data, embedded_model, output, sources=[*source(rationale="short"), glaive])
    targets = {(each.source, each.target) for each in read_examples(output, "train", "planner")}
    assert targets == {
        ("tides", "I call tide next: Tides of a harbour. Next: caller."),
        ("tides", "What is known now is enough to answer. Next: conclusion."),
        ("glaive", "I call convert next: Units. Next: caller."),
        ("glaive", "What is known now is enough to answer. Next: conclusion."),
    }


def test_trajectories_of_ones_own(data: Path, embedded_model: Path, output: Path) -> None:
    own_folder(data / "ours", own_trajectory(), own_trajectory("t2", status="failed"))
    record = made(data, embedded_model, output, sources=source(format="trajectories", data="ours"))
    assert record.sources["tides"].dropped == {"trajectories": {"a trajectory that neither completed nor gave up": 1}}
    assert [each.target for role in ROLES for each in read_examples(output, "train", role)] == [
        'I look.\nAction: look\nAction Input: {\n  "at": "it"\n}',
        "Done.\nconclusion: Seen.",
        "I look. Next: caller.",
        "Done. Next: conclusion.",
        'Action: look\nAction Input: {\n  "at": "it"\n}',
        "Seen.",
    ]


def test_broken_trajectories_of_ones_own_are_all_named_or_skipped(
    data: Path, embedded_model: Path, output: Path
) -> None:
    path = own_folder(data / "ours", own_trajectory()) / "trajectories.jsonl"
    without_tool = own_trajectory("t2", tools=["gone"])
    lines = [json.dumps(own_trajectory()), "oops", json.dumps(without_tool), json.dumps(own_trajectory())]
    path.write_text("\n".join(lines))
    sources = source(format="trajectories", data="ours")
    with pytest.raises(BrokenEntries) as refused:
        made(data, embedded_model, output, sources=sources)
    message = [
        f"{path}, line 2 is not JSON",
        f"{path}, line 4: the trajectory 't1' is also on line 1",
        f"{path}, line 3: tools.json has no tool 'gone'",
    ]
    assert list(refused.value.places) == message
    record = made(data, embedded_model, output, sources=sources, skip_broken=True)
    tides = record.sources["tides"]
    assert (tides.dropped["trajectories"]["broken"], list(tides.broken)) == (3, message)
    assert roles_of(output, "train")["caller"] == 1


def break_lines(data: Path) -> None:
    """Invalid JSON, a missing field, an unknown role, and a damaged gzip file."""
    import gzip

    path = data / "tides" / "Sea__tides.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    lines[2] = '{"id": oh}'
    lines[4] = json.dumps({"id": "Turn 1: x"})
    lines[5] = lines[5].replace('"function"', '"oracle"')
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def test_broken_entries_are_all_named_and_nothing_is_written(data: Path, embedded_model: Path, output: Path) -> None:
    break_lines(data)
    with pytest.raises(BrokenEntries) as refused:
        made(data, embedded_model, output)
    path = data / "tides" / "Sea__tides.jsonl.gz"
    assert [place.partition(": ")[0].partition(" is")[0] for place in refused.value.places] == [
        f"{path}, line 3",
        f"{path}, line 5",
        f"{path}, line 6",
    ]
    assert "3 broken entries" in refused.value.message
    assert list(output.parent.iterdir()) == []


def test_broken_entries_can_be_skipped_and_are_counted(data: Path, embedded_model: Path, output: Path) -> None:
    break_lines(data)
    record = made(data, embedded_model, output, skip_broken=True)
    assert record.sources["tides"].dropped["trajectories"]["broken"] == 3
    assert ["line 3" in record.sources["tides"].broken[0], len(record.sources["tides"].broken)] == [True, 3]


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Limit the size of files, which behaves like a full disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_nothing_behind(data: Path, embedded_model: Path, output: Path) -> None:
    with full_disk(5_000), pytest.raises(CannotWrite, match="cannot be written: File too large"):
        made(data, embedded_model, output)
    assert list(output.parent.iterdir()) == []


def test_a_folder_that_is_there_stays_as_it_is(data: Path, embedded_model: Path, output: Path) -> None:
    output.mkdir(parents=True)
    with pytest.raises(CannotWrite, match="exists already"):
        made(data, embedded_model, output)
    assert list(output.iterdir()) == []


def test_a_place_that_cannot_be_written_is_known_before_the_work(
    data: Path, embedded_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotWrite, match="cannot be written"):
        # The data is not there either, and is not looked for.
        made(data / "nowhere", embedded_model, tmp_path / "file" / "prepared")


def test_data_that_is_not_there_is_named(data: Path, embedded_model: Path, output: Path) -> None:
    with pytest.raises(SourceMissing, match=r"source 'tides' is not at .*/waves") as refused:
        made(data, embedded_model, output, sources=source(data="waves"))
    assert "ALPHA_UMI_DATA" in str(refused.value.remedy)
    with pytest.raises(SourceMissing, match="there is no folder"):
        made(data / "nowhere", embedded_model, output)


def test_an_empty_data_set_is_refused_with_the_reasons(data: Path, embedded_model: Path, output: Path) -> None:
    rows = "".join(f"x\t{question}\n" for question in QUESTIONS)
    (data / "overlap.tsv").write_text(f"train_folder\tinstruction\n{rows}")
    with pytest.raises(NothingLeft, match=r"8 × an instruction of overlap\.tsv"):
        made(data, embedded_model, output, overlaps="overlap.tsv")
    long = tree("Why?", says("Finish", '{"return_type": "give_up_and_restart"}', "I do not know. " * 100))
    write_json(data / "long" / "1.json", long)
    with pytest.raises(NothingLeft, match="do not fit the context"):
        made(data, embedded_model, output, context=256, sources=source(format="toolbench-trees", data="long"))
    assert not output.exists()


def test_what_other_evaluations_have_is_known_without_the_table() -> None:
    table = data_folder(os.environ) / "overlap.tsv"
    if not table.is_file():
        pytest.skip(f"the table of overlaps is not at {table}")
    assert read_digests(OTHER_EVALUATIONS) == read_overlaps(table)


def test_what_other_evaluations_have_is_left_out(data: Path, embedded_model: Path, output: Path) -> None:
    # Words of the date, which STE asks for too.
    write_tool_set(data, "Sea__tides", ["what is the  current date?", QUESTIONS[7]])
    record = made(data, embedded_model, output)
    assert record.sources["tides"].dropped["trajectories"] == {"an instruction of another evaluation": 1}


def test_what_a_suite_measures_on_is_known_without_its_data(data: Path, embedded_model: Path, output: Path) -> None:
    # The first instruction of ToolAlpaca's evaluation set, in other letters.
    write_tool_set(data, "Sea__tides", ["hey, can you show me a random picture  of an AXOLOTL?", QUESTIONS[7]])
    record = made(data, embedded_model, output)
    reasons = record.sources["tides"].dropped["trajectories"]
    assert reasons == {"an instruction of the suite toolalpaca-simulated": 1}


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (None, FileUnreadable, "is not there"),
        ("a\tb\n", NotTheFormat, "no column 'instruction'"),
        ("a\tinstruction\nx\n", NotTheFormat, "line 2 has no instruction"),
    ],
)
def test_a_wrong_table_of_overlaps(
    data: Path, embedded_model: Path, output: Path, table: str | None, error: type[DataError], message: str
) -> None:
    if table is not None:
        (data / "overlap.tsv").write_text(table)
    with pytest.raises(error, match=message):
        made(data, embedded_model, output, overlaps="overlap.tsv")


def test_a_backbone_without_the_end_of_turn_or_a_tokenizer_is_refused(
    data: Path, embedded_model: Path, output: Path, tmp_path: Path
) -> None:
    with pytest.raises(NoEndOfTurn, match="'</s>'"):
        made(data, embedded_model, output, template="toolbench")
    with pytest.raises(TokenizerMissing, match=r"tokenizer\.json"):
        made(data, tmp_path, output)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"context": "much"}, "context: Input should be a valid integer"),
        ({"template": "mine"}, "template: Value error, there is no such template"),
        ({"sources": []}, "sources: Tuple should have at least 1"),
        ({"sources": source(format="csv")}, "sources.0.format: Input should be 'rotbench'"),
        ({"sources": source(data="/etc")}, "sources.0.data: Value error, the path must be inside"),
        ({"sources": source() * 2}, "two sources have the same name"),
        ({"sources": source(format="gsm8k", dev_tool_sets=["x"])}, "belong to the format `rotbench` alone"),
        ({"sources": source(format="gsm8k", tool_sets=["x"])}, "belong to the format `rotbench` alone"),
        ({"sources": source(dev_tool_sets=["x"], dev_share=0.1)}, "exclude each other"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ],
)
def test_a_wrong_mixture_names_the_field(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    path = write_json(tmp_path / "own.yaml", mixture(**fields))
    with pytest.raises(MixtureUnusable) as refused:
        load_mixture(str(path))
    assert str(path) in refused.value.message
    assert message in refused.value.message


def test_mixtures_that_are_not_there_or_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(MixtureUnusable, match="no mixture 'tides'"):
        load_mixture("tides")
    with pytest.raises(MixtureUnusable, match="cannot be read"):
        load_mixture(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "own.yaml").write_text("name: [")
    with pytest.raises(MixtureUnusable, match="neither YAML nor JSON"):
        load_mixture(str(tmp_path / "own.yaml"))


def test_an_unknown_dev_tool_set(data: Path, embedded_model: Path, output: Path) -> None:
    with pytest.raises(MixtureUnusable, match="no tool set 'Sea__ocean'"):
        made(data, embedded_model, output, sources=source(dev_tool_sets=["Sea__ocean"]))


def test_the_project_mixtures_keep_suites_and_dev_apart() -> None:
    held_out = set(read_definition(suite_path("rotbench-gpt4")).parts)
    mixtures = [load_mixture(name) for name in mixture_names()]
    dev_splits = {tuple(name for source in each.sources for name in source.dev_tool_sets) for each in mixtures}
    assert len(mixtures) == 4
    # What was chosen with one mixture holds for the others.
    (dev,) = dev_splits
    assert len(dev) >= 8
    assert not set(dev) & held_out
