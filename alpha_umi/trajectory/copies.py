"""Copies of frozen dataclasses, at the cost of a dictionary: a state is replaced several times with every event."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The same signature, so that the type checker knows the fields.
    from dataclasses import replace as replace
else:

    def replace(instance, /, **changes):
        """A copy with other values in some fields. `dataclasses.replace` does the same, and sets every field anew.

        For classes without slots, `__post_init__` and cached properties. Raises `TypeError` for an unknown field.
        """
        fields = vars(instance)
        if not changes.keys() <= fields.keys():
            raise TypeError(f"{type(instance).__name__} lacks one of the fields {', '.join(changes)}")
        copy = object.__new__(type(instance))
        vars(copy).update(fields, **changes)
        return copy
