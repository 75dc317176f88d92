"""Model folders in the cache: complete or absent, also after a kill, and with concurrent processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from alpha_umi.serving.manifest import CanaryText, ModelManifest, load_manifest, verify, write_manifest
from alpha_umi.serving.weights.errors import CacheUnusable
from alpha_umi.serving.weights.model_folder import build_once, cache_folder

MANIFEST = ModelManifest(
    name="tiny",
    role="backbone",
    template="toolbench",
    context=128,
    base="tiny",
    canary=CanaryText(prompt="1 + 1 =", expected=" 2"),
    source="written by a test",
)
# Another process: writes half a model, reports it, and finishes on input.
SLOW_BUILD = """
import sys
from pathlib import Path
from alpha_umi.serving.manifest import ModelManifest, write_manifest
from alpha_umi.serving.weights.model_folder import build_once

def build(folder):
    (folder / "model.safetensors").write_bytes(b"half of the")
    print("half", flush=True)
    sys.stdin.readline()
    (folder / "model.safetensors").write_bytes(b"weights of another process")
    write_manifest(folder, ModelManifest.model_validate_json(sys.argv[2]))

print(build_once(Path(sys.argv[1]), build, family="tiny"))
"""


class Build:
    """Fills a folder, and counts the builds."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, folder: Path) -> None:
        self.times += 1
        (folder / "model.safetensors").write_bytes(b"weights")
        write_manifest(folder, MANIFEST)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny-0123"


@contextmanager
def half_way_builder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, after it has written half of its model."""
    command = [sys.executable, "-c", SLOW_BUILD, str(folder), MANIFEST.model_dump_json()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        try:
            yield process
        finally:
            process.kill()


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir() if path.name != ".tiny.lock")


def test_a_folder_is_built_once(folder: Path) -> None:
    build = Build()
    assert [build_once(folder, build, family="tiny") for _ in range(3)] == [folder] * 3
    assert build.times == 1
    assert visible(folder) == [folder.name]
    assert verify(folder) == load_manifest(folder)


def test_after_a_kill_the_next_call_completes(folder: Path) -> None:
    with half_way_builder(folder) as process:
        process.kill()
        process.wait(5)
    assert visible(folder) == [".tiny.partial"]
    build = Build()
    build_once(folder, build, family="tiny")
    assert build.times == 1
    assert visible(folder) == [folder.name]
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_a_second_process_waits_for_the_first(folder: Path) -> None:
    build = Build()
    waiting = threading.Event()
    steps: list[str] = []

    def note(step: str, done: float, /) -> None:
        steps.append(step)
        waiting.set()

    with half_way_builder(folder) as process:
        ours = threading.Thread(target=lambda: build_once(folder, build, family="tiny", progress=note))
        ours.start()
        assert waiting.wait(10)
        assert not folder.exists()
        process.communicate("finish\n", timeout=10)
        ours.join(10)
    assert steps == ["Waiting for another process that prepares the model"]
    assert build.times == 0
    assert (folder / "model.safetensors").read_bytes() == b"weights of another process"


@pytest.mark.parametrize("harm", ["changed", "missing", "pickle", "no manifest"])
def test_a_damaged_folder_is_built_again(folder: Path, harm: str) -> None:
    build = Build()
    build_once(folder, build, family="tiny")
    match harm:
        case "changed":
            (folder / "model.safetensors").write_bytes(b"wEights")
        case "missing":
            (folder / "model.safetensors").unlink()
        case "pickle":
            (folder / "pytorch_model.bin").write_bytes(b"")
        case _:
            (folder / "alpha_umi.json").unlink()
    build_once(folder, build, family="tiny")
    assert build.times == 2
    verify(folder)


def test_a_build_that_fails_leaves_nothing(folder: Path) -> None:
    def fail(target: Path) -> None:
        (target / "model.safetensors").write_bytes(b"half of the")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build_once(folder, fail, family="tiny")
    assert visible(folder) == []


def test_an_intact_folder_needs_no_writing(folder: Path) -> None:
    """A cache on a read-only file system is usable."""
    build_once(folder, Build(), family="tiny")
    (folder.parent / ".tiny.lock").unlink()
    build_once(folder, Build(), family="tiny")
    assert visible(folder) == [folder.name]
    assert not (folder.parent / ".tiny.lock").exists()


def test_a_full_disk_is_seen_before_the_work(folder: Path) -> None:
    build = Build()
    with pytest.raises(CacheUnusable, match=r"MiB are needed; make room, or name another folder in ALPHA_UMI_CACHE"):
        build_once(folder, build, family="tiny", needs=2**60)
    assert build.times == 0


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "models").write_bytes(b"a file stands here")
    with pytest.raises(CacheUnusable, match="could not be written"):
        build_once(tmp_path / "models" / "tiny-0123", Build(), family="tiny")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ALPHA_UMI_CACHE": "/own", "XDG_CACHE_HOME": "/shared", "HOME": "/home/ada"}, "/own"),
        ({"ALPHA_UMI_CACHE": "", "XDG_CACHE_HOME": "/shared", "HOME": "/home/ada"}, "/shared/alpha-umi"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/ada"}, "/home/ada/.cache/alpha-umi"),
        ({"HOME": "/home/ada"}, "/home/ada/.cache/alpha-umi"),
    ],
)
def test_the_cache_folder_follows_the_environment(environment: Mapping[str, str], expected: str) -> None:
    assert cache_folder(environment) == Path(expected)


def test_a_user_without_a_home_gets_a_remedy() -> None:
    with pytest.raises(CacheUnusable, match="ALPHA_UMI_CACHE"):
        cache_folder({})
