"""A file is written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from evaluation.replacing import write_all, write_whole


def test_a_file_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_whole(path, "first")
    plain = tmp_path / "plain"
    plain.write_text("as any program does it")
    assert (path.read_text(), path.stat().st_mode) == ("first", plain.stat().st_mode)
    path.chmod(0o640)
    write_whole(path, "ä")
    assert (path.read_text("utf-8"), stat.S_IMODE(path.stat().st_mode)) == ("ä", 0o640)


def test_a_link_stays_one(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("file")
    write_whole(link, "text")
    assert link.is_symlink()
    assert (tmp_path / "file").read_text() == "text"


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half of it, then \ud800")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.parametrize("second", ["no/folder", "half"])
def test_of_several_files_all_are_written_or_none(tmp_path: Path, second: str) -> None:
    first = tmp_path / "first"
    first.write_text("before")
    with pytest.raises((OSError, UnicodeEncodeError)) as caught:
        write_all({first: "after", tmp_path / second: "\ud800"})
    assert getattr(caught.value, "filename", None) in (str(tmp_path / second), None)
    assert (first.read_text(), os.listdir(tmp_path)) == ("before", ["first"])
    write_all({first: "after", tmp_path / "half": "whole"})
    assert (first.read_text(), (tmp_path / "half").read_text()) == ("after", "whole")


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as text, os.fdopen(writing, "w"):
        write_whole(Path(f"/dev/fd/{writing}"), "text")
        assert text.read(4) == "text"


@pytest.mark.parametrize("name", ["no/folder", "."])
def test_the_error_names_the_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=f"{tmp_path}") as caught:
        write_whole(tmp_path / name, "text")
    assert caught.value.filename in (str(tmp_path / name), tmp_path, str(tmp_path))
