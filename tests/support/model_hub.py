"""A small hub of models: the requests that huggingface_hub makes, over files in memory.

Repositories have commits (a folder's files under a commit's name) and branches. Some are gated or private, or are
datasets. `fail` makes the hub answer every request with a status.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from huggingface_hub import constants
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from support.serving_on_loopback import served

Files = Mapping[str, bytes]
TOKEN = "hf_right"
MAIN = "main"


@dataclass
class Repository:
    """Its commits by name, and its branches. `access`: without `TOKEN`, files (gated) or everything (private) is
    refused."""

    kind: Literal["models", "datasets"] = "models"
    access: Literal["open", "gated", "private"] = "open"
    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Files, branch: str = MAIN) -> str:
        """Add a commit with these files as the newest of a branch. Returns its name, 40 hex digits."""
        name = _digest(repr((len(self.commits), sorted(files))).encode())
        self.commits[name] = dict(files)
        self.branches[branch] = name
        return name


def files_of(folder: Path) -> Files:
    """The files below a folder, by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def use_endpoint(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Make huggingface_hub in this process ask the hub at an address; it reads the environment on its import only."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    files = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)


@contextlib.contextmanager
def hub_in_use(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[ModelHub]:
    """A hub that huggingface_hub in this process uses, with its cache in the folder `home`."""
    hub = ModelHub()
    # An engine that ran in this process has set HF_HUB_OFFLINE, which a test's child process would inherit.
    for variable in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with served(hub.application) as address:
        use_endpoint(monkeypatch, address)
        yield hub


class ModelHub:
    """The hub. `requests` are the methods and paths that it got; `tokens` what their Authorization headers held."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.tokens: set[str | None] = set()
        self.fail: int | None = None
        self.application = Starlette(
            routes=[
                Route("/api/{kind}/{name:path}/revision/{revision:path}", self._info),
                Route("/api/{kind}/{name:path}/tree/{revision:path}", self._tree),
                Route("/{name:path}/resolve/{revision}/{path:path}", self._file, methods=["GET", "HEAD"]),
                Route("/api/{kind}/{name:path}", self._info),
            ]
        )

    def add(self, name: str, files: Files = {}, **options: Any) -> Repository:  # noqa: B006
        """Add a repository, with one commit if there are files."""
        made = self.repositories[name] = Repository(**options)
        if files:
            made.commit(files)
        return made

    def fetched(self) -> set[str]:
        """The paths of the files that were downloaded."""
        resolved = (line.partition("/resolve/")[2] for line in self.requests if line.startswith("GET "))
        return {rest.partition("/")[2] for rest in resolved if rest}

    def _info(self, request: Request) -> Response:
        answer = self._find(request)
        if isinstance(answer, Response):
            return answer
        name, files, commit = answer
        siblings = [{"rfilename": path} for path in files]
        return JSONResponse({"id": name, "sha": commit, "private": False, "tags": [], "siblings": siblings})

    def _tree(self, request: Request) -> Response:
        answer = self._find(request)
        if isinstance(answer, Response):
            return answer
        return JSONResponse(
            [
                {"type": "file", "path": path, "size": len(content), "oid": _digest(content)}
                for path, content in answer[1].items()
            ]
        )

    def _file(self, request: Request) -> Response:
        answer = self._find(request)
        if isinstance(answer, Response):
            return answer
        name, files, commit = answer
        if self.repositories[name].access == "gated" and _token(request) != TOKEN:
            return _error(403, "GatedRepo", "Access to this model is restricted")
        content = files[request.path_params["path"]]
        headers = {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": commit}
        return Response(content, headers=headers, media_type="application/octet-stream")

    def _find(self, request: Request) -> tuple[str, Files, str] | Response:
        """The repository's name, its files at the revision, and the commit; or the error."""
        self.requests.append(f"{request.method} {request.url.path}")
        self.tokens.add(_token(request))
        if self.fail is not None:
            return _error(self.fail, "", "the hub fails")
        name, kind = request.path_params["name"], request.path_params.get("kind", "models")
        repository = self.repositories.get(name)
        if repository is None or repository.kind != kind:
            return _error(404, "RepoNotFound", "Repository not found")
        if repository.access == "private" and _token(request) != TOKEN:
            return _error(401, "RepoNotFound", "Repository not found")
        revision = request.path_params.get("revision", MAIN)
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return name, repository.commits[commit], commit


def _token(request: Request) -> str | None:
    header = request.headers.get("Authorization")
    return None if header is None else header.removeprefix("Bearer ")


def _digest(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def _error(status: int, code: str, message: str) -> Response:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return Response(status_code=status, headers=headers)
