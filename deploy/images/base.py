"""The base image: from its registry, or created by debootstrap if the registry is unreachable."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from deploy.images import buildah
from deploy.images.commands import run

# As in the Dockerfiles, which name it by digest.
_DOCKERFILE = Path(__file__).parents[1] / "orchestrator.Dockerfile"
WANTED = (
    os.environ.get("ALPHA_UMI_BASE_IMAGE")
    or _DOCKERFILE.read_text(encoding="utf-8").partition("ARG BASE=")[2].split()[0]
)
MADE_HERE = "localhost/alpha-umi/base:bookworm"
# The mirror for debootstrap; its default if empty.
MIRROR = os.environ.get("DEBIAN_MIRROR", "").split()
# Python 3.11 is Debian 12's; the rest is what the Dockerfiles of the base provide.
PACKAGES = "python3,python3-venv,python3-pip,python-is-python3,ca-certificates"


def ensure_base() -> str:
    """The name of a local base image. Raises `CommandFailed`."""
    for name in (WANTED, MADE_HERE):
        if buildah.exists(name):
            return name
    if buildah.pull(WANTED):
        return WANTED
    print(f"{WANTED} cannot be had here; debootstrap makes a base like it", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        # In a mount namespace, so that its mounts end with it, also after an interrupt.
        apart = ("unshare", "--mount")
        run(*apart, "debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root), *MIRROR)
        # As in the original image, pip may install into the system's folders.
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        run("tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), "--exclude=./var/cache/apt/*", ".")
        buildah.import_root(archive, MADE_HERE)
    return MADE_HERE
