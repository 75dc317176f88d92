"""What goes wrong between an event and a state."""

from __future__ import annotations


class IllegalEvent(Exception):
    """The event does not belong to the state; the state is as it was."""
