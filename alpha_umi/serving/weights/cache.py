"""Model folders in the user's cache: built once, whole or not at all.

A folder appears under its name only when it is complete and on the disk. One process builds while others wait; what a
killed one left behind is removed by the next. A folder whose digests do not agree is built again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError

from alpha_umi import telemetry
from alpha_umi.serving.manifest import ManifestError, verify
from alpha_umi.serving.weights.errors import CacheUnusable, TargetUnusable
from alpha_umi.serving.weights.progress import Progress, silent
from alpha_umi.serving.weights.whole_folder import build_whole, require_room

_REMEDY = "make room, or name another folder in ALPHA_UMI_CACHE"

_log = telemetry.logger(__name__)


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where prepared weights are kept: `ALPHA_UMI_CACHE`, else `alpha-umi` in the user's cache folder.

    Follows the XDG Base Directory Specification. Raises `CacheUnusable` for a user without a home.
    """
    if own := environment.get("ALPHA_UMI_CACHE"):
        return Path(own).absolute()
    # The specification has relative paths ignored.
    if (shared := environment.get("XDG_CACHE_HOME", "")) and Path(shared).is_absolute():
        return Path(shared) / "alpha-umi"
    if home := environment.get("HOME"):
        return Path(home) / ".cache" / "alpha-umi"
    raise CacheUnusable("this user has no home folder; name a cache folder in ALPHA_UMI_CACHE")


def build_once(
    folder: Path, build: Callable[[Path], None], *, family: str, needs: int = 0, progress: Progress = silent
) -> Path:
    """`folder`, after `build` has filled it if that had not happened yet.

    `build` is given a temporary sibling, and writes the manifest as well. Folders of one `family` are built one at a
    time. `needs` is the room that a build takes, in bytes. Raises `CacheUnusable`, and whatever `build` raises.
    """
    if _is_intact(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.parent / f".{family}.lock", progress):
            if not _is_intact(folder):
                require_room(folder.parent, needs)
                build_whole(folder, folder.parent / f".{family}.partial", build)
    except TargetUnusable as error:
        raise CacheUnusable(f"{error}, or name another folder in ALPHA_UMI_CACHE") from error
    except (OSError, SafetensorError) as error:
        raise CacheUnusable(f"{folder} could not be written: {error}; {_REMEDY}") from error
    return folder


def _is_intact(folder: Path) -> bool:
    if not folder.exists():
        return False
    try:
        verify(folder)
    except ManifestError as error:
        _log.warning("weights.damaged", detail=str(error))
        return False
    return True


@contextlib.contextmanager
def _alone(lock: Path, progress: Progress) -> Iterator[None]:
    """Keep other processes out. The kernel frees the lock when this one dies, so the file may stay."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Waiting for another process that prepares the model", 0.0)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
