"""Models by hub id: `org/name@revision` becomes a folder in the cache of huggingface_hub, at one commit.

Only safetensors, tokenizers, chat templates and JSON are fetched, and no code. HF_HOME, HF_TOKEN, HF_HUB_OFFLINE and
HF_ENDPOINT mean what huggingface_hub documents. While the hub cannot be reached, the cache decides. A folder is
returned only if all its files are there.
"""

from __future__ import annotations

import contextlib
import errno
import io
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alpha_umi import telemetry
from alpha_umi.serving.manifest import PICKLE_SUFFIXES
from alpha_umi.serving.weights.errors import HubModelUnusable, TargetUnusable
from alpha_umi.serving.weights.model_folder import check_disk_space
from alpha_umi.serving.weights.progress import Progress, silent

if TYPE_CHECKING:
    from huggingface_hub import ResolvedRevision

WEIGHTS = "*.safetensors"
FILES = (WEIGHTS, "*.json", "*.jinja", "tokenizer.model", "*.tiktoken", "vocab.txt", "merges.txt")
# Nothing reads the README that peft writes beside an adapter, but manifests list it.
_ADAPTER_FILES = (*FILES, "README.md")
# Mistral's repositories have all weights twice.
_TWICE = "consolidated*.safetensors"

_REFERENCE = re.compile(
    r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[A-Za-z0-9](?!.*\.\.)[\w./+-]*))?", re.ASCII
)
_SNAPSHOT = re.compile(r"models--(?P<org>(?:(?!--).)+)--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})(?:/|$)")

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class _Wanted:
    """A model of the hub. `revision` is None for the default branch."""

    repository: str
    revision: str | None

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"


def locate(
    reference: str | Path, *, roles: Collection[str] = (), weights: bool = True, progress: Progress = silent
) -> Path:
    """The folder that a path or a hub id stands for: an existing folder, else the hub's files at one commit.

    `roles`: the model has these subfolders, one per role, which are fetched instead of the files beside them. Without
    `weights` only what describes the model is fetched, for one that a server elsewhere runs. What is neither an
    existing folder nor a hub id is returned as a path. Raises `HubModelUnusable`.
    """
    match = _REFERENCE.fullmatch(str(reference))
    if match is None or Path(reference).is_dir():
        return Path(reference)
    wanted = _Wanted(match["repository"], match["revision"])
    with _explained(wanted):
        return _fetch(wanted, roles, weights, progress)


def is_hub_id(reference: str | Path) -> bool:
    """Whether `locate` asks the hub for it."""
    return _REFERENCE.fullmatch(str(reference)) is not None and not Path(reference).is_dir()


def hub_reference(folder: Path) -> str | None:
    """`org/name@commit` of a folder in the cache of huggingface_hub, or None for any other folder."""
    match = _SNAPSHOT.search(folder.absolute().as_posix())
    return None if match is None else f"{match['org']}/{match['name']}@{match['commit']}"


def _fetch(wanted: _Wanted, roles: Collection[str], weights: bool, progress: Progress) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import DryRunError

    commit = HfApi().resolve_revision(wanted.repository, revision=wanted.revision)
    options: dict[str, Any] = {
        "revision": commit,
        "allow_patterns": [f"{role}/{pattern}" for role in roles for pattern in _ADAPTER_FILES] or list(FILES),
        "ignore_patterns": ["*/*/*" if roles else "*/*", _TWICE, *(() if weights else (WEIGHTS,))],
        "tqdm_class": _bar(f"Fetching {wanted.repository}", progress),
    }
    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    # Without a connection there is no plan, and the cache decides.
    with contextlib.suppress(DryRunError):
        plan = snapshot_download(wanted.repository, dry_run=True, **options)
        if weights:
            _require_weights(wanted, [file.filename for file in plan])
        needs = sum(file.file_size or 0 for file in plan if file.will_download)
        _require_room(cache, needs)
        if needs:
            _log.info("hub.fetching", model=f"{wanted.repository}@{commit.resolved}", mebibytes=needs >> 20)
    with _removed_on_full_disk(wanted, commit):
        folder = Path(snapshot_download(wanted.repository, **options))
    if weights:
        _require_weights(wanted, [str(path.relative_to(folder)) for path in folder.rglob(WEIGHTS)])
    _refuse_pickles(wanted, folder)
    _log.info("hub.located", model=hub_reference(folder))
    return folder


def _require_weights(wanted: _Wanted, files: Collection[str]) -> None:
    if not any(name.endswith(".safetensors") for name in files):
        raise HubModelUnusable(
            f"{wanted}: this revision has no safetensors in the expected place, and other formats can run code when "
            "they are loaded; name a revision or a repository with safetensors"
        )


def _require_room(cache: Path, needs: int) -> None:
    try:
        check_disk_space(cache, needs)
    except TargetUnusable as error:
        raise HubModelUnusable(f"{error}, or name another folder in HF_HOME") from error


def _refuse_pickles(wanted: _Wanted, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise HubModelUnusable(
                f"{wanted}: another program has put {path} into the cache, which can run code when it is loaded; "
                "remove that file, or name another cache in HF_HOME"
            )


@contextlib.contextmanager
def _removed_on_full_disk(wanted: _Wanted, commit: ResolvedRevision) -> Iterator[None]:
    """Remove the files of a new snapshot if its disk is full: they would take the room without any use."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.file_download import repo_folder_name

    home = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=wanted.repository, repo_type="model")
    is_new = not (home / "snapshots" / commit.resolved).exists()
    try:
        yield
    except OSError as error:
        if is_new and _is_full(error):
            scan_cache_dir().delete_revisions(commit.resolved).execute()
        raise


def _is_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _bar(step: str, progress: Progress) -> type:
    """A class of progress bars for huggingface_hub that report the share of the bytes and print nothing."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.unit == "B" and self.total:
                progress(step, min(self.n / self.total, 1.0))
            return shown

    return Bar


@contextlib.contextmanager
def _explained(wanted: _Wanted) -> Iterator[None]:
    """Translate the errors of huggingface_hub, each into one sentence with the remedy."""
    import httpx2
    from huggingface_hub.errors import RevisionResolutionError

    try:
        yield
    except (OSError, ValueError, httpx2.HTTPError, RevisionResolutionError) as error:
        raise HubModelUnusable(f"{wanted}: {_reason(wanted, error)}") from error


def _reason(wanted: _Wanted, error: Exception) -> str:
    from huggingface_hub import errors

    hub = _hub()
    match error:
        case errors.HFValidationError():
            return "there is no such folder, and this is no hub id; name a folder, or org/name@revision"
        case errors.GatedRepoError():
            return (
                f"the model is gated; accept its terms at {hub}/{wanted.repository}, and set HF_TOKEN to a token of "
                "that account"
            )
        case errors.RepositoryNotFoundError():
            return _missing(wanted)
        case errors.RevisionNotFoundError():
            return _without_revision(wanted)
        case errors.HfHubHTTPError():
            return _refused(error.response.status_code)
        case errors.RevisionResolutionError() | errors.LocalEntryNotFoundError():
            return _not_cached(error.__cause__)
        case OSError() if error.errno is not None:
            return f"{_cache()} could not be written ({error.strerror}); make room, or name another folder in HF_HOME"
        case _:
            return f"{hub} did not deliver it ({_line(error)}); try again, and check HF_ENDPOINT and the proxy"


def _missing(wanted: _Wanted) -> str:
    from huggingface_hub import HfApi

    with contextlib.suppress(Exception):  # the other error matters
        if HfApi().repo_exists(wanted.repository, repo_type="dataset"):
            return f"this is a dataset of {_hub()}, not a model; name a model"
    return (
        f"there is no such folder, and {_hub()} shows no such model; correct the name, or set HF_TOKEN to a token that "
        "can read it if it is private"
    )


def _without_revision(wanted: _Wanted) -> str:
    from huggingface_hub import HfApi, get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, RevisionResolutionError

    reason = f"{_hub()} has no such revision of this model; name a branch, a tag or a commit that it has"
    with contextlib.suppress(RevisionResolutionError, CachedRepoTreeNotFoundError):
        cached = HfApi().resolve_revision(wanted.repository, revision=wanted.revision, local_files_only=True)
        get_cached_repo_tree(wanted.repository, revision=cached.resolved)
        return f"{reason}, or {wanted.repository}@{cached.resolved}, which was this revision and is in the cache"
    return reason


def _refused(status: int) -> str:
    if status in (401, 403):
        return f"{_hub()} refuses access ({status}); set HF_TOKEN to a valid token that can read this model"
    return f"{_hub()} answered {status}; try again later, or name another hub in HF_ENDPOINT"


def _not_cached(cause: BaseException | None) -> str:
    """The reason why the cache had to decide, and that it does not have the model."""
    from huggingface_hub import constants, errors

    absent = f"there is no such folder, and the model is not completely in the cache {_cache()}"
    if constants.is_offline_mode():
        return f"{absent}; HF_HUB_OFFLINE is set: unset it, or fetch the model into this cache elsewhere"
    if isinstance(cause, errors.HfHubHTTPError):
        return f"{absent}; {_refused(cause.response.status_code)}"
    return f"{absent}; {_hub()} cannot be reached: check the connection, HF_ENDPOINT and the proxy"


def _hub() -> str:
    """The address of the hub, without credentials."""
    from huggingface_hub import constants

    address = urlsplit(constants.ENDPOINT)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _line(error: Exception) -> str:
    """The first line of a foreign message. It can name an address, whose query may be signed."""
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return re.sub(r"\?\S+", "", first)
