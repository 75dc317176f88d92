"""Errors of the state machine."""

from __future__ import annotations


class IllegalEvent(Exception):
    """The event is not legal in this state. The state is unchanged."""
