"""Headless Chromium for tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
# No sandbox of its own: the tests may run as root. Nothing of it goes to the network.
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium_path() -> Path | None:
    """The browser that CHROMIUM names, else the first installed one."""
    named = os.environ.get("CHROMIUM")
    match = shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)
    return None if match is None else Path(match)


@contextmanager
def chromium(path: Path) -> Iterator[Browser]:
    """A browser with a temporary profile."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()
