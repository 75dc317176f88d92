"""Identifiers use the field's terms (docs/glossary.md), not vague words."""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REFUSED = frozenset(("told", "said", "asked", "brought", "whole", "kept", "found"))
# A string that is one such word may be a JSON field, a flag, a setting or a problem kind.
ONE_WORD = re.compile(r"""[rbfu]*(["'])(--)?[A-Za-z0-9]+([_-][A-Za-z0-9]+)+\1""", re.IGNORECASE)


def words(identifier: str) -> list[str]:
    """The parts of a snake_case, kebab-case or CamelCase identifier in lower case."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", identifier)]


def is_refused(identifier: str) -> bool:
    """Whether a part is a refused word; HTTP's and Python's "not found" is not."""
    parts = words(identifier)
    return any(
        word in REFUSED and (word, parts[index - 1] if index else "") != ("found", "not")
        for index, word in enumerate(parts)
    )


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every name, and of every string that is one compound word."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME or (token.type == tokenize.STRING and ONE_WORD.fullmatch(token.string)):
            yield token.start[0], token.string


def python_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_no_identifier_uses_a_refused_word() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in python_files()
        if path != Path(__file__)
        for line, text in [(0, path.stem), *identifiers(path.read_text(encoding="utf-8"))]
        if is_refused(text)
    ]
    assert not offenders, "use the field's term (docs/glossary.md):\n" + "\n".join(offenders)


@pytest.mark.parametrize(
    "name", ["told", "as_told", "WholeRun", "left_asked", '"output-kept-already"', "foundKey", "HTTPSaid"]
)
def test_the_rule_refuses(name: str) -> None:
    assert is_refused(name)


@pytest.mark.parametrize(
    "name", ["not_found", "ModuleNotFoundError", "HTTP_404_NOT_FOUND", "founder", "wholesale", "tasked"]
)
def test_the_rule_accepts(name: str) -> None:
    assert not is_refused(name)


def test_names_and_compound_strings_are_identifiers() -> None:
    source = 'x = {"left_out": f(y)}  # a comment is prose\nz = "prose is prose"\n'
    assert [text for _, text in identifiers(source)] == ["x", '"left_out"', "f", "y", "z"]
