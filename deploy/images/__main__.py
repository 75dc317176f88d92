"""`python -m deploy.images [NAME ...]`: build these images (by default those that the checks need), then run them.

Exit codes: 0 success, 1 a build or a check failed, 2 a command is missing on this machine, 130 interrupted. The images
stay in buildah's storage (`buildah rmi` removes them); everything else is removed at the end. Packages come from the
index of this machine's pip. Variables: ALPHA_UMI_BASE_IMAGE, another base image; DEBIAN_MIRROR, the mirror for
debootstrap; TORCH_INDEX, the index of the CPU build of torch; BUILD_FLAGS, additional flags for `buildah bud`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.images import buildah
from deploy.images.base import ensure_base
from deploy.images.checks import CheckFailed, checks
from deploy.images.commands import CommandFailed, interrupt_once
from deploy.images.container import Unhealthy, missing_tools
from deploy.images.pip_settings import pip_volumes
from deploy.images.recipes import DEFAULT, RECIPES

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main() -> int:
    """Build and check the images; the exit status."""
    arguments = _arguments()
    if reason := _obstacle():
        print(f"images: {reason}", file=sys.stderr)
        return EXIT_USAGE
    names: list[str] = arguments.names or list(DEFAULT)
    interrupt_once()
    try:
        with pip_volumes() as volumes:
            _build(names, [*volumes, *shlex.split(os.environ.get("BUILD_FLAGS", ""))])
        _check({*names})
    except (CommandFailed, CheckFailed, Unhealthy) as error:
        print(f"images: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print("images: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _build(names: Sequence[str], flags: Sequence[str]) -> None:
    base = ensure_base()
    common = [("BASE", base), *((name, os.environ[name]) for name in ("TORCH_INDEX",) if os.environ.get(name))]
    print(f"{base}: {buildah.size_mb(base)} MB", flush=True)
    for name in names:
        recipe, began = RECIPES[name], time.monotonic()
        torch = common if ("ENGINE", "cpu") in recipe.arguments else common[:1]
        buildah.build(recipe.dockerfile, recipe.tag, [*torch, *recipe.arguments], flags)
        print(f"{recipe.tag}: built in {time.monotonic() - began:.0f} s, {buildah.size_mb(recipe.tag)} MB", flush=True)


def _check(built: set[str]) -> None:
    for number, (subject, check) in enumerate(checks(built)):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            result = check(Path(folder, str(number)))
            print(f"ok, {subject} ({time.monotonic() - began:.0f} s): {result}", flush=True)


def _obstacle() -> str:
    """The missing commands, with the remedy."""
    if missing := missing_tools():
        remedy = f"apt-get install {' '.join(sorted({*missing}))}"
        return f"needs {', '.join(missing)}: {remedy} (with a Docker engine, `docker compose build` builds the images)"
    if os.geteuid() != 0:
        return "needs root, for chroot and mounts: sudo make images"
    return ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.images",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(RECIPES)}")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in RECIPES]:
        parser.error(f"there is no image {', '.join(unknown)}; choose from {', '.join(RECIPES)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
