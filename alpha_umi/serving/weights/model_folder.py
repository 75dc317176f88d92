"""Model folders, built completely or not at all: in the user's cache, and where a command names a new folder.

A folder appears under its name only when its files agree with its manifest and are on the disk. In the cache one
process builds while others wait; what a killed process left behind is removed by the next; a folder whose digests do
not agree is built again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError

from alpha_umi import telemetry
from alpha_umi.atomic import locked, write_folder
from alpha_umi.serving.manifest import ManifestError, verify
from alpha_umi.serving.weights.errors import CacheUnusable, TargetUnusable
from alpha_umi.serving.weights.progress import Progress, silent

Build = Callable[[Path], None]

_log = telemetry.logger(__name__)


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder for prepared weights: `ALPHA_UMI_CACHE`, else `alpha-umi` in the user's cache folder.

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


def build_once(folder: Path, build: Build, *, family: str, needs: int = 0, progress: Progress = silent) -> Path:
    """`folder`, which `build` fills unless it is there and intact.

    `build` writes the manifest too. Folders of one `family` are built one at a time. `needs` is the required disk space
    in bytes. Raises `CacheUnusable`, and what `build` raises.
    """
    if _is_intact(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(
            folder.parent / f".{family}.lock",
            on_wait=lambda: progress("Waiting for another process that prepares the model", 0.0),
        ):
            if not _is_intact(folder):
                check_disk_space(folder.parent, needs)
                build_folder(folder, folder.parent / f".{family}.partial", build)
    except TargetUnusable as error:
        raise CacheUnusable(f"{error}, or name another folder in ALPHA_UMI_CACHE") from error
    except (OSError, SafetensorError) as error:
        remedy = "make room, or name another folder in ALPHA_UMI_CACHE"
        raise CacheUnusable(f"{folder} could not be written: {error}; {remedy}") from error
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


def create_folder(folder: Path, build: Build, *, needs: int) -> None:
    """Build a folder that must not exist yet; its parents are created. `needs` is the required disk space in bytes.

    Raises `TargetUnusable` for a folder that exists or is being built, and for a full disk; and what `build` raises.
    """
    _check_absent(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        check_disk_space(folder.parent, needs)
        with lock_target(folder.parent / f".{folder.name}.lock"):
            # Another command may have finished in between.
            _check_absent(folder)
            build_folder(folder, folder.parent / f".{folder.name}.partial", build)
    except OSError as error:
        raise TargetUnusable(f"{folder} could not be written: {error}") from error


def _check_absent(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise TargetUnusable(f"{folder} exists; name a folder that does not")


def build_folder(folder: Path, partial: Path, build: Build) -> None:
    """Build in `partial`, verify it against its manifest, and rename it to `folder`, which may exist.

    Raises what `build` raises, `ManifestError` and `OSError`; then `folder` is as it was, and `partial` is removed.
    """

    def fill(target: Path) -> None:
        build(target)
        verify(target)
        _share(target)

    write_folder(folder, fill, partial=partial)


def check_disk_space(folder: Path, needs: int) -> None:
    """Raises `TargetUnusable` when a folder's disk has less than `needs` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needs:
        raise TargetUnusable(f"{folder} has {free >> 20:,} MiB left and {needs >> 20:,} MiB are needed; make room")


@contextlib.contextmanager
def lock_target(lock: Path) -> Iterator[None]:
    """Refuse a second process that writes the same folder. Raises `TargetUnusable`."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(lock))
        except BlockingIOError:
            raise TargetUnusable(f"another command is writing this folder (it holds {lock}); wait for it") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _share(folder: Path) -> None:
    """Give the files the folder's permissions: safetensors writes for its own user only, and a container has another
    user."""
    shared = folder.stat().st_mode & 0o666
    for path in folder.iterdir():
        path.chmod(shared)
