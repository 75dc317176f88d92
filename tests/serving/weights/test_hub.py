"""Models by hub id: the real huggingface_hub, against a small hub over real HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants
from support.model_hub import TOKEN, ModelHub, use_endpoint

from alpha_umi.serving.weights.errors import HubModelUnusable
from alpha_umi.serving.weights.hub import hub_reference, locate

FILES = {
    "model.safetensors": b"weights",
    "config.json": b"{}",
    "tokenizer.json": b'{"model": {}}',
    "chat_template.jinja": b"{{ messages }}",
    "modeling.py": b"raise SystemExit('never run')",
    "pytorch_model.bin": b"pickle",
    "README.md": b"# Model",
    "onnx/config.json": b"{}",
    "onnx/model.safetensors": b"again",
    "consolidated.safetensors": b"twice",
}
LOADED = {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"}


def refusal(reference: str) -> str:
    with pytest.raises(HubModelUnusable) as caught:
        locate(reference)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{reference}: ")
    return message


def test_a_model_is_fetched_at_one_commit_without_code(model_hub: ModelHub) -> None:
    commit = model_hub.add("org/name").commit(FILES)
    shares: list[float] = []
    folder = locate("org/name", progress=lambda step, done: shares.append(done))
    assert {path.name for path in folder.rglob("*")} == LOADED == model_hub.fetched()
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert hub_reference(folder) == f"org/name@{commit}"
    assert shares[-1] == 1.0


def test_without_weights_only_what_describes_the_model_is_fetched(model_hub: ModelHub) -> None:
    model_hub.add("org/name", FILES)
    folder = locate("org/name", weights=False)
    assert {path.name for path in folder.rglob("*")} == LOADED - {"model.safetensors"} == model_hub.fetched()
    assert {path.name for path in locate("org/name").rglob("*")} == LOADED, "the same folder, completed"


def test_a_branch_follows_the_hub_and_a_commit_stays(model_hub: ModelHub) -> None:
    repository = model_hub.add("org/name", FILES)
    first = locate("org/name@main")
    newer = repository.commit({**FILES, "model.safetensors": b"newer"})
    assert (locate("org/name@main") / "model.safetensors").read_bytes() == b"newer"
    assert hub_reference(locate("org/name")) == f"org/name@{newer}"
    requests = len(model_hub.requests)
    assert locate(hub_reference(first) or "") == first
    assert len(model_hub.requests) == requests


def test_a_revision_with_a_slash(model_hub: ModelHub) -> None:
    commit = model_hub.add("org/name", FILES).commit({**FILES, "config.json": b"[]"}, "refs/pr/1")
    assert hub_reference(locate("org/name@refs/pr/1")) == f"org/name@{commit}"


def test_a_folder_comes_first(model_hub: ModelHub, tmp_path: Path) -> None:
    model_hub.add("org/name", FILES)
    (tmp_path / "work" / "org" / "name").mkdir(parents=True)
    assert locate("org/name") == Path("org/name")
    for other in ("./org/other", "/org/other", "name", "a/b/c", "org/name@../../x"):
        assert locate(other) == Path(other)
    assert model_hub.requests == []


def test_adapters_have_a_folder_for_each_role(model_hub: ModelHub) -> None:
    adapter = {"adapter_model.safetensors": b"weights", "adapter_config.json": b"{}", "code.py": b""}
    inside = {
        f"{role}/{name}": content + role.encode()
        for role in ("planner", "caller", "other")
        for name, content in adapter.items()
    }
    commit = model_hub.add("org/adapters").commit({**FILES, **inside, "planner/deep/x.json": b"{}"})
    folder = locate("org/adapters", roles=("planner", "caller"))
    assert model_hub.fetched() == {
        f"{role}/{name}" for role in ("planner", "caller") for name in adapter if name != "code.py"
    }
    assert hub_reference(folder / "planner") == f"org/adapters@{commit}"


def test_the_cache_serves_without_a_connection(model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    model_hub.add("org/name", FILES)
    folder = locate("org/name")
    model_hub.fail = 503
    assert locate("org/name") == folder
    use_endpoint(monkeypatch, "http://127.0.0.1:9")
    assert locate("org/name") == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert locate("org/name") == folder


def test_offline_without_a_cache(model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = model_hub.add("org/name").commit(FILES)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for reference in ("org/name", f"org/name@{commit}"):
        assert "not completely in the cache" in (message := refusal(reference))
        assert message.endswith("HF_HUB_OFFLINE is set: unset it, or fetch the model into this cache elsewhere")
    assert model_hub.requests == []


def test_an_incomplete_cache_is_not_served(model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    model_hub.add("org/name", FILES)
    (locate("org/name") / "tokenizer.json").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "not completely in the cache" in refusal("org/name")


def test_a_hub_that_cannot_be_reached(model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    use_endpoint(monkeypatch, "http://user:secret@127.0.0.1:9")
    message = refusal("org/name")
    assert message.endswith("http://127.0.0.1:9 cannot be reached: check the connection, HF_ENDPOINT and the proxy")


def test_a_missing_model(model_hub: ModelHub) -> None:
    assert "there is no such folder, and http://127.0.0.1" in (message := refusal("models/mine"))
    assert "correct the name, or set HF_TOKEN" in message


def test_a_name_that_no_hub_has(model_hub: ModelHub) -> None:
    assert refusal("models/my--model").endswith("this is no hub id; name a folder, or org/name@revision")
    assert model_hub.requests == []


def test_a_dataset(model_hub: ModelHub) -> None:
    model_hub.add("org/data", FILES, kind="datasets")
    assert refusal("org/data").endswith("not a model; name a model")


def test_a_private_model(model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    model_hub.add("org/secret", FILES, access="private")
    assert "if it is private" in refusal("org/secret")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert locate("org/secret").is_dir()


def test_a_gated_model(model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = model_hub.add("org/gated", access="gated").commit(FILES)
    for reference in ("org/gated", f"org/gated@{commit}"):
        message = refusal(reference)
        assert "the model is gated; accept its terms at http://127.0.0.1" in message
        assert message.endswith("/org/gated, and set HF_TOKEN to a token of that account")
    assert model_hub.fetched() == set()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert locate("org/gated").is_dir()


def test_a_wrong_revision(model_hub: ModelHub) -> None:
    model_hub.add("org/name", FILES)
    for reference in ("org/name@v9", f"org/name@{'0' * 40}"):
        assert refusal(reference).endswith(
            "has no such revision of this model; name a branch, a tag or a commit that it has"
        )


def test_a_revision_that_vanished(model_hub: ModelHub) -> None:
    repository = model_hub.add("org/name", FILES)
    commit = repository.commit(FILES, "v1")
    folder = locate("org/name@v1")
    del repository.branches["v1"], repository.commits[commit]
    assert f"or org/name@{commit}, which was this revision and is in the cache" in refusal("org/name@v1")
    assert locate(f"org/name@{commit}") == folder


def test_a_hub_that_fails(model_hub: ModelHub) -> None:
    commit = model_hub.add("org/name").commit(FILES)
    model_hub.fail = 403
    for reference in ("org/name", f"org/name@{commit}"):
        assert "refuses access (403); set HF_TOKEN" in refusal(reference)
    model_hub.fail = 503
    assert "answered 503; try again later" in refusal("org/name")


def test_weights_in_a_format_that_runs_code(model_hub: ModelHub) -> None:
    model_hub.add("org/old", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    assert "has no safetensors" in refusal("org/old")
    assert model_hub.fetched() == set()


def test_a_cache_with_a_file_that_runs_code(model_hub: ModelHub) -> None:
    model_hub.add("org/name", FILES)
    (locate("org/name") / "training_args.bin").write_bytes(b"pickle")
    assert "training_args.bin into the cache" in refusal("org/name")


def test_a_model_that_is_larger_than_the_disk(model_hub: ModelHub, monkeypatch: pytest.MonkeyPatch) -> None:
    model_hub.add("org/name", FILES)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(HubModelUnusable, match="MiB are needed; make room, or name another folder in HF_HOME"):
        locate("org/name")
    assert model_hub.fetched() == set()


# In a process of its own: the variables are read on import, and a limit on the size of files is a process's own.
FETCH = """
import json, resource, sys
from alpha_umi.serving.weights.errors import HubModelUnusable
from alpha_umi.serving.weights.hub import hub_reference, locate
if limit := int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    print(json.dumps({"folder": str(locate(sys.argv[1])), "error": None}))
except HubModelUnusable as error:
    print(json.dumps({"folder": None, "error": str(error)}))
"""


def fetch(home: Path, *, limit: int = 0, **environment: str) -> dict[str, str | None]:
    """What a process with HF_HOME and these variables says of `org/name`; its files grow up to `limit` bytes."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", FETCH, "org/name", str(limit)],
        env=clean | {"HF_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    printed: dict[str, str | None] = json.loads(done.stdout.splitlines()[-1])
    return printed


def test_the_usual_variables_count(model_hub: ModelHub, tmp_path: Path) -> None:
    model_hub.add("org/name", FILES, access="private")
    home = tmp_path / "home"
    made = fetch(home, HF_ENDPOINT=constants.ENDPOINT, HF_TOKEN=TOKEN)
    assert str(made["folder"]).startswith(f"{home}/hub/models--org--name/snapshots/")
    assert TOKEN in model_hub.tokens
    requests = len(model_hub.requests)
    assert fetch(home, HF_ENDPOINT=constants.ENDPOINT, HF_HUB_OFFLINE="1") == made
    assert len(model_hub.requests) == requests


def test_a_disk_that_fills_while_it_downloads(model_hub: ModelHub, tmp_path: Path) -> None:
    model_hub.add("org/name", {**FILES, "model.safetensors": bytes(1 << 20)})
    home = tmp_path / "home"
    message = fetch(home, limit=1 << 16, HF_ENDPOINT=constants.ENDPOINT)["error"]
    assert message is not None
    assert message.endswith("make room, or name another folder in HF_HOME")
    left = {path.name for path in home.rglob("*") if path.is_file() and ".locks" not in path.parts}
    assert left <= {"CACHEDIR.TAG"}
    assert fetch(home, HF_ENDPOINT=constants.ENDPOINT)["error"] is None
