"""Errors of the roles.

RoleError
├── UnreadableOutput      a role model's text does not follow its format; the model may be asked again
└── ContextExceeded       the tools and the newest turn alone do not fit the context; the request must change
"""

from __future__ import annotations


class RoleError(ValueError):
    """Base of what the roles raise."""


class UnreadableOutput(RoleError):
    """A role model wrote something that its format does not allow.

    `text` is what it wrote, `reason` says what could not be read.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text


class ContextExceeded(RoleError):
    """The prompt cannot be made to fit. `needed` and `budget` are tokens."""

    def __init__(self, needed: int, budget: int) -> None:
        super().__init__(f"the tools and the newest turn need {needed} tokens, and the context leaves {budget}")
        self.needed = needed
        self.budget = budget
