"""`alpha-umi evaluate suites`: lists the suites without reading their data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from recordings.formats import bfcl
from recordings.suites.definition import SuiteFile, digests_path, read_definition, read_digests, suite_names, suite_path

Invoke = Callable[..., Result]
GSM8K = "eval/gsm8k_test_dev.jsonl"


def definitions() -> list[SuiteFile]:
    return [read_definition(suite_path(name)) for name in suite_names()]


def put(folder: Path, inside: str) -> None:
    (folder / inside).parent.mkdir(parents=True, exist_ok=True)
    (folder / inside).touch()


def test_every_suite_is_listed_with_what_its_file_says(invoke: Invoke, folder: Path) -> None:
    put(folder, GSM8K)
    listed = invoke("evaluate", "suites", "--json")
    assert (listed.exit_code, listed.stderr) == (0, "")
    assert json.loads(listed.stdout) == [
        {
            "name": suite.name,
            "title": suite.title,
            "licence": suite.licence,
            "source": suite.source,
            "instructions": len(read_digests(digests_path(suite_path(suite.name))) or ()),
            "data": str(folder / suite.data),
            "at_hand": suite.data == GSM8K,
        }
        for suite in definitions()
    ]


def test_the_table_says_what_is_missing_and_where_it_belongs(invoke: Invoke, folder: Path) -> None:
    put(folder, GSM8K)
    listed = invoke("evaluate", "suites")
    rows = {line.split()[0]: line for line in listed.stdout.splitlines()[1:] if line and line[0] != " "}
    assert rows["gsm8k"].endswith("present")
    assert rows["seal-tools"].endswith("missing")
    message = " ".join(listed.stdout.split())
    for suite in definitions():
        assert f"{suite.name}: {suite.licence} {folder / suite.data}" in message
        assert (f"missing: {suite.source}" in message) is (suite.data != GSM8K)
    assert f"name another folder than {folder} with ALPHA_UMI_DATA" in " ".join(listed.stderr.split())
    assert max(map(len, listed.stdout.split("\n\n")[0].splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("rotbench-gpt4", lambda at, part: [at / f"{part}.jsonl.gz"]),
        ("bfcl", bfcl.files),
    ],
)
def test_a_suite_of_parts_is_at_hand_when_all_of_them_are(
    invoke: Invoke, folder: Path, name: str, files: Callable[[Path, str], list[Path]]
) -> None:
    suite = next(each for each in definitions() if each.name == name)

    def at_hand() -> bool:
        listed = json.loads(invoke("evaluate", "suites", "--json").stdout)
        return next(bool(each["at_hand"]) for each in listed if each["name"] == suite.name)

    first, *others = [str(file) for part in suite.parts for file in files(Path(suite.data), part)]
    for file in others:
        put(folder, file)
    assert not at_hand()
    put(folder, first)
    assert at_hand()
