"""What listeners are shown of a text while it is written, over several attempts at it.

A request that broke off is sent again, and its text begins anew. A listener that just joins the pieces would have the
beginning twice. So what was shown already is not shown again; and where the new text is another one, nothing more is
shown: the row of the log tells what counts.
"""

from __future__ import annotations

from collections.abc import Callable

OnDelta = Callable[[str], None]


class Preview:
    """The pieces that were shown, joined, are always the beginning of one attempt's text."""

    def __init__(self, show: OnDelta) -> None:
        self._show = show
        self._shown = ""
        self._written = ""

    def begin(self) -> None:
        """An attempt begins."""
        self._written = ""

    def take(self, piece: str) -> None:
        """The attempt wrote on."""
        self._written += piece
        if len(self._written) > len(self._shown) and self._written.startswith(self._shown):
            self._show(self._written[len(self._shown) :])
            self._shown = self._written
