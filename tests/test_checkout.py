"""Files with recorded digests are not changed by a checkout."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAME = Path("models", "smollm2-135m", "planner", "adapter_config.json")
WRITTEN = b'{\n  "r": 16\n}\n'


def git(folder: Path, *arguments: str) -> None:
    # With the line ends of another system, and nothing of this user's own settings.
    options = ["core.autocrlf=true", "user.name=a test", "user.email=test@example.org", "commit.gpgsign=false"]
    chosen = [word for option in options for word in ("-c", option)]
    subprocess.run(["git", *chosen, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def test_a_checkout_with_other_line_ends_keeps_the_files_of_models(tmp_path: Path) -> None:
    folder = tmp_path / "origin"
    for name in (NAME, Path("elsewhere.json")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(WRITTEN)
    shutil.copyfile(ROOT / ".gitattributes", folder / ".gitattributes")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "A model")
    git(tmp_path, "clone", "--quiet", "--config", "core.autocrlf=true", str(folder), "clone")
    assert (tmp_path / "clone" / NAME).read_bytes() == WRITTEN
    assert (tmp_path / "clone" / "elsewhere.json").read_bytes() == WRITTEN.replace(b"\n", b"\r\n"), "it was converted"
