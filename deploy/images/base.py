"""The base of the images: from its registry, or made by debootstrap where there is no way to one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from deploy.images import buildah
from deploy.images.commands import run

# As in the Dockerfiles.
WANTED = os.environ.get("ALPHA_UMI_BASE_IMAGE") or "python:3.11-slim-bookworm"
MADE_HERE = "localhost/alpha-umi/base:bookworm"
# Where debootstrap has packages from; its own default when there is nothing here.
MIRROR = os.environ.get("DEBIAN_MIRROR", "").split()
# Python 3.11 is Debian 12's own; the rest is what the base's Dockerfiles count on.
PACKAGES = "python3,python3-venv,python3-pip,python-is-python3,ca-certificates"


def ensure_base() -> str:
    """The name of a base image that is there. Raises `CommandFailed`."""
    for name in (WANTED, MADE_HERE):
        if buildah.exists(name):
            return name
    if buildah.pull(WANTED):
        return WANTED
    print(f"{WANTED} cannot be had here; debootstrap makes a base like it", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root, archive = Path(folder, "root"), Path(folder, "root.tar")
        # What it mounts into the new root is gone with it, also when it is interrupted.
        apart = ("unshare", "--mount")
        run(*apart, "debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root), *MIRROR)
        # As in the image that this stands for, pip may install into the system's own folders.
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        run("tar", "--numeric-owner", "-C", str(root), "-cf", str(archive), "--exclude=./var/cache/apt/*", ".")
        buildah.import_root(archive, MADE_HERE)
    return MADE_HERE
