"""What the tools do not know, said with a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NotKnown(LookupError):
    """There is no such country, city, zone, unit, ..."""


def not_known(kind: str, asked: str, known: Iterable[str]) -> NotKnown:
    """An error that names what was asked and what may have been meant."""
    close = difflib.get_close_matches(asked, list(known), n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return NotKnown(f"no {kind} is called {asked!r}{hint}")
