"""Errors of the roles.

RoleError
├── UnreadableOutput      a role model's text does not follow its format; a second generation may
└── ContextExceeded       the tools and the newest turn alone exceed the context; the request must change
"""

from __future__ import annotations


class RoleError(ValueError):
    """Base of the errors of the roles."""


class UnreadableOutput(RoleError):
    """A role model's text does not follow its format.

    `text` is the output, `reason` the part that is missing or invalid.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.text = text


class ContextExceeded(RoleError):
    """The prompt exceeds the budget even when shortened. `needed` and `budget` are tokens."""

    def __init__(self, needed: int, budget: int) -> None:
        super().__init__(f"the tools and the newest turn need {needed} tokens, and the context leaves {budget}")
        self.needed = needed
        self.budget = budget
