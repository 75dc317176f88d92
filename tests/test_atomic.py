"""Atomic writes: a file or folder is complete, or as it was before; locks exclude other processes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from alpha_umi.atomic import locked, write_file, write_files, write_folder


def test_a_file_is_replaced_and_its_mode_preserved(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_file(path, "first")
    plain = tmp_path / "plain"
    plain.write_text("as any program does it")
    assert (path.read_text(), path.stat().st_mode) == ("first", plain.stat().st_mode)
    path.chmod(0o640)
    write_file(path, "ä")
    assert (path.read_text("utf-8"), stat.S_IMODE(path.stat().st_mode)) == ("ä", 0o640)


def test_a_link_stays_one(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("file")
    write_file(link, "text")
    assert link.is_symlink()
    assert (tmp_path / "file").read_text() == "text"


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        write_file(path, "half of it, then \ud800")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.parametrize("second", ["no/folder", "half"])
def test_of_several_files_all_are_written_or_none(tmp_path: Path, second: str) -> None:
    first = tmp_path / "first"
    first.write_text("before")
    with pytest.raises((OSError, UnicodeEncodeError)) as caught:
        write_files({first: "after", tmp_path / second: "\ud800"})
    assert getattr(caught.value, "filename", None) in (str(tmp_path / second), None)
    assert (first.read_text(), os.listdir(tmp_path)) == ("before", ["first"])
    write_files({first: "after", tmp_path / "half": b"\xff"})
    assert (first.read_text(), (tmp_path / "half").read_bytes()) == ("after", b"\xff")


def test_a_pipe_is_written_to_directly(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe, os.fdopen(writing, "w"):
        write_file(Path(f"/dev/fd/{writing}"), "text")
        assert pipe.read(4) == "text"


@pytest.mark.parametrize("name", ["no/folder", "."])
def test_the_error_names_the_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=f"{tmp_path}") as caught:
        write_file(tmp_path / name, "text")
    assert caught.value.filename in (str(tmp_path / name), tmp_path, str(tmp_path))


def test_a_folder_is_replaced_or_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_folder(folder, lambda partial: (partial / "weights").write_text("first") and None)
    (tmp_path / "model.partial").mkdir()  # of a killed process

    def fail(partial: Path) -> None:
        (partial / "weights").write_text("second")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_folder(folder, fail)
    assert (os.listdir(tmp_path), (folder / "weights").read_text()) == (["model"], "first")
    write_folder(folder, lambda partial: (partial / "more").mkdir())
    assert (os.listdir(tmp_path), os.listdir(folder)) == (["model"], ["more"])


def test_a_lock_excludes_others_until_it_is_released(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locked(lock), pytest.raises(BlockingIOError), locked(lock):
        pass
    with locked(lock, on_wait=pytest.fail):
        pass
