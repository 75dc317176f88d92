"""Shared fixtures: golden texts (if they exist), free ports, applications served on loopback."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from support.browser import chromium, chromium_path
from support.serving_on_loopback import Serve, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from support.model_hub import ModelHub

# One thread of computation for a process: tests run on all processors at once, and OpenMP's threads wait by spinning.
# Two processes with two threads each take many times as long. Torch reads the variable when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How logs are before anything has set them up.
UNTOUCHED = structlog.get_config()
GOLDEN = Path(os.environ.get("ALPHA_UMI_GOLDEN", Path(__file__).parents[2] / "shared" / "golden"))


@pytest.fixture(scope="session")
def golden() -> Path:
    """Texts made with the paper's own code; their licence keeps them out of the tree."""
    if not GOLDEN.is_dir():
        pytest.skip(f"golden texts are not at {GOLDEN}; ALPHA_UMI_GOLDEN names their folder")
    return GOLDEN


@pytest.fixture(scope="session")
def data() -> Path:
    """Public data, which the tree does not hold."""
    from recordings.suites.definition import data_folder

    folder = data_folder(os.environ)
    if not folder.is_dir():
        pytest.skip(f"data is not at {folder}; ALPHA_UMI_DATA names its folder")
    return folder


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The backbone that the project runs by default, converted into the user's cache folder once."""
    from alpha_umi.serving.weights import cache_folder, ensure_backbone

    return ensure_backbone(cache_folder(os.environ))


@pytest.fixture
def model_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelHub]:
    """A small model hub, which huggingface_hub uses with an empty cache, from an empty working folder."""
    from support.model_hub import hub_in_use

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with hub_in_use(monkeypatch, tmp_path / "hf") as hub:
        yield hub


# For a module, not longer: as long as it is there its event loop runs in this thread, and no asynchronous test can.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window; tests with it carry the marker `browser`."""
    path = chromium_path()
    if path is None:
        pytest.skip("there is no Chromium: install Debian's chromium, or name one in the variable CHROMIUM")
    with chromium(path) as started:
        yield started


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Page]:
    """An empty page of a wide window. A dialog, or an error of the page, fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    yield page
    page.close()
    assert complaints == []


@pytest.fixture
def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve applications with uvicorn on loopback, each in a thread; returns their addresses."""
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Restore the log configuration after each test, so that tests and module fixtures do not affect each other."""
    root = logging.getLogger()
    handlers = root.handlers
    structlog.configure(**UNTOUCHED)
    root.setLevel(logging.WARNING)
    yield
    structlog.configure(**UNTOUCHED)
    root.handlers = handlers
    root.setLevel(logging.WARNING)


@pytest.hookimpl(trylast=True)  # after `-m` has chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a real engine run first, as they take longest: `--dist loadfile` hands files out in this order."""
    engines = [item for item in items if item.get_closest_marker("engine")]
    for item in engines:  # warnings are errors, but not those of vLLM's and torch's own code
        item.add_marker(pytest.mark.filterwarnings("default"))
    slow = {item.path for item in engines}
    items.sort(key=lambda item: item.path not in slow)
