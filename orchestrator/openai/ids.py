"""Ids of responses and their items. Each names a trajectory and a row of its log."""

from __future__ import annotations

import re

_TRAJECTORY = "traj_"
_FORM = re.compile(r"(?P<prefix>[a-z]+)[_-](?P<hex>[0-9a-f]{32})_(?P<seq>[1-9][0-9]{0,8})")


def made_id(prefix: str, trajectory_id: str, seq: int) -> str:
    """The id of what begins with row `seq` of a trajectory; `prefix` has its separator, as in `resp_`."""
    return f"{prefix}{trajectory_id.removeprefix(_TRAJECTORY)}_{seq}"


def response_id(trajectory_id: str, seq: int) -> str:
    """The id of the response that begins with row `seq` of a trajectory."""
    return made_id("resp_", trajectory_id, seq)


def place_of(item_id: str, prefix: str) -> tuple[str, int] | None:
    """The trajectory's id and the row that an id with this prefix names; None for another form."""
    match = _FORM.fullmatch(item_id)
    if match is None or not item_id.startswith(prefix):
        return None
    return f"{_TRAJECTORY}{match['hex']}", int(match["seq"])
