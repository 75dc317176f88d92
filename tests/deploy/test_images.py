"""The builder of images: it builds the images of the compose file, and names missing commands (`make images`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.deployment_files import ROOT, services

from deploy.images import __main__ as command
from deploy.images import buildah, commands
from deploy.images.base import WANTED
from deploy.images.checks import checks
from deploy.images.commands import CommandFailed
from deploy.images.pip_settings import paths, read_settings
from deploy.images.recipes import DEFAULT, RECIPES


@pytest.mark.parametrize("name", sorted(services()))
def test_it_builds_what_compose_builds(name: str) -> None:
    entry = services()[name]
    [recipe] = [recipe for recipe in RECIPES.values() if recipe.tag == entry["image"]]
    assert f"deploy/{recipe.dockerfile}" == entry["build"]["dockerfile"]
    arguments = dict(recipe.arguments) | {"BASE": WANTED}
    assert arguments == {key: value for key, value in entry["build"]["args"].items() if value is not None}


def test_by_default_every_check_is_made() -> None:
    everything = [subject for subject, _ in checks({*RECIPES})]
    assert [subject for subject, _ in checks({*DEFAULT})] == everything
    assert len(everything) == 7
    assert not list(checks({"roles-gpu"})), "what cannot run here is only built"


# A stub `id` reports root.
AS_ROOT = "import os, sys; os.geteuid = lambda: 0; from deploy.images.__main__ import main; sys.exit(main())"
# Succeeds except for a build, and records its arguments.
BUILDAH = """#!/bin/sh
echo "$@" >> "$REQUESTS"
case "$1" in
    images) [ "$2" = --json ] && echo '[{"size": "1.5 GB"}]' || cat "$REQUESTS-unnamed" 2>/dev/null || : ;;
    bud) echo a-stage > "$REQUESTS-unnamed"; echo "no space left" >&2; exit 125 ;;
esac
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return finished([sys.executable, "-m", "deploy.images", *arguments], **environment)


def finished(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH of stub commands; the file with the recorded arguments of buildah."""
    for name in ("debootstrap", "ip", "nsenter", "buildah"):
        tool = tmp_path / name
        tool.write_text(BUILDAH)
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("REQUESTS", str(tmp_path / "requests"))
    monkeypatch.delenv("BUILD_FLAGS", raising=False)
    return tmp_path / "requests"


def test_it_says_which_packages_are_missing() -> None:
    done = run(PATH="")
    assert (done.returncode, done.stdout) == (2, "")
    assert "apt-get install buildah debootstrap iproute2 util-linux" in done.stderr
    assert "docker compose build" in done.stderr


def test_it_says_that_it_needs_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "missing_tools", list)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["images"])
    assert command.main() == 2
    assert "sudo make images" in capsys.readouterr().err


def test_an_unknown_image_is_refused() -> None:
    done = run("planer-cpu")
    assert done.returncode == 2
    assert "there is no image planer-cpu; choose from orchestrator, tool-api, planner-cpu" in done.stderr


def test_a_build_that_fails_ends_it(tools: Path) -> None:
    done = finished([sys.executable, "-c", AS_ROOT, "orchestrator"], BUILD_FLAGS="--cpuset-cpus 0")
    assert done.returncode == 1, done.stderr
    assert "no space left" in done.stderr
    assert "images: buildah bud --isolation: exit code 125: its output is above" in done.stderr
    *_, build, _, removal = tools.read_text().splitlines()
    assert build.startswith("bud ")
    assert removal == "rmi a-stage"
    assert f"--build-arg BASE={WANTED} " in build
    assert "--cpuset-cpus 0 --file deploy/orchestrator.Dockerfile --tag alpha-umi/orchestrator:latest ." in build


def test_a_container_is_removed_whatever_happens(tools: Path) -> None:
    with pytest.raises(KeyboardInterrupt), buildah.container("an-image") as name:
        raise KeyboardInterrupt
    assert tools.read_text().splitlines() == [
        f"from --pull-never --name {name} an-image",
        f"inspect --type container {name}",
        f"rm {name}",
    ]


def test_ctrl_c_ends_a_command_with_its_children(tmp_path: Path) -> None:
    os.mkfifo(alive := tmp_path / "alive")
    program = (
        "import sys; from deploy.images.commands import interrupt_once, run; interrupt_once();"
        "run('sh', '-c', 'exec >$0; sleep 600 & echo started; sleep 600', sys.argv[1])"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(alive)], cwd=ROOT, stderr=subprocess.PIPE) as process:
        with alive.open() as message:
            assert message.readline() == "started\n"
            process.send_signal(signal.SIGINT)
            assert message.read() == "", "every process that could write to it has ended"
        assert process.wait(60) in {-signal.SIGINT, 130}


def test_a_signal_during_the_start_of_a_command_ends_it() -> None:
    program = (
        "import signal, subprocess; from deploy.images import commands; commands.interrupt_once()\n"
        "class Interrupted(subprocess.Popen):\n"
        "    def __init__(self, *command, **options):\n"
        "        super().__init__(*command, **options)\n"
        "        print(self.pid, flush=True)\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "subprocess.Popen = Interrupted\n"
        "commands.run('sleep', '600')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode in {-signal.SIGINT, 130}
    assert not psutil.pid_exists(int(done.stdout)), "the command has ended"


def test_a_command_that_fails_is_quoted() -> None:
    with pytest.raises(CommandFailed, match="sh -c echo why >&2; exit 3: exit code 3: why"):
        commands.run("sh", "-c", "echo why >&2; exit 3")


def test_builds_have_packages_from_where_pip_has_them(tmp_path: Path) -> None:
    wheels, index = tmp_path / "wheels", tmp_path / "index" / "simple"
    for folder in (wheels, index):
        folder.mkdir(parents=True)
    listed = (
        ":env:.index-url='https://mirror.example/simple'\n"
        "global.index-url='https://packages.example/simple'\n"
        f"global.extra-index-url='file://{index} https://more.example/simple'\n"
        f"global.find-links='{wheels} {tmp_path}/absent'\n"
        "global.require-virtualenv='true'\n"
    )
    result = read_settings(listed)
    assert result == {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": f"file://{index} https://more.example/simple",
        "find-links": f"{wheels} {tmp_path}/absent",
    }
    assert paths(result) == [str(index.parent), str(wheels)]
    assert read_settings("") == {}
