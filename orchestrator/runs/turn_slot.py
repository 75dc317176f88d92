"""The slot of a driven trajectory, and the time of its turn, which passes only while the slot is held."""

from __future__ import annotations

from orchestrator.admission.gate import Gate, Place


class TurnSlot:
    """A slot that is taken and left several times: a trajectory holds none while it waits for its client.

    `first`: the trajectory was accepted earlier, so it comes before those of its owner that are new.
    """

    def __init__(self, gate: Gate, *, owner: str, background: bool, first: bool, seconds: float) -> None:
        self._gate = gate
        self._owner = owner
        self._background = background
        self._first = first
        self._place: Place | None = None
        self._left_s = seconds

    @property
    def held(self) -> bool:
        """Whether the trajectory may proceed."""
        return self._place is not None and self._place.holds_slot

    @property
    def seconds_left(self) -> float:
        """Time until the turn's deadline; not negative."""
        since = None if self._place is None else self._place.granted_at
        return self._left_s if since is None else max(0.0, self._left_s - (self._gate.clock() - since))

    def enter(self) -> bool:
        """Take the slot or a place in the queue for it. Whether the slot is held."""
        if self._place is None:
            self._place = self._gate.enter(self._owner, background=self._background, first=self._first)
        return self._place.holds_slot

    async def wait(self) -> None:
        """Return once the slot is held, after `enter`."""
        if self._place is not None:
            await self._place.wait()

    def close(self) -> None:
        """Leave the slot, or the queue for it."""
        self._left_s = self.seconds_left
        if self._place is not None:
            self._place.leave()
            self._place = None
        self._first = True
