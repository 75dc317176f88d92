"""The content of a compaction: the items of a conversation but for the user's messages, which stand before it. Pure.

In it, a null stands in the place of each message of the user, so that the order of the conversation comes back. It is
packed, and not encrypted: it holds nothing that the client does not know, and a client may supply any conversation.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from alpha_umi.contract.openai.input_items import Compaction, InputItem, InputMessage
from alpha_umi.contract.problems import refusal
from orchestrator.api.bodies import MAX_VALUES, count_values

# Of the JSON of the compactions of a request, as a body can have.
MAX_BYTES: Final = 6 * 2**20
_ALLOWED: Final = f"may hold {MAX_BYTES} bytes and {MAX_VALUES} values of JSON"
_PREFIX: Final = "alpha_umi.1."
_ENTRY: Final[TypeAdapter[InputItem | None]] = TypeAdapter(InputItem | None)


class PlacedItem(NamedTuple):
    """An item, and the field of the request that it comes from."""

    place: str
    item: InputItem


def packed(entries: Sequence[Mapping[str, Any] | None], *, field_name: str) -> str:
    """The content of a compaction: a null for a message of the user, the fields of all other items.

    Raises `ServiceError` if it is too large.
    """
    text = json.dumps(entries, separators=(",", ":")).encode()
    if len(text) > MAX_BYTES or count_values(text) > MAX_VALUES:
        raise refusal(field_name, f"a compaction {_ALLOWED}", "send less")
    return _PREFIX + base64.urlsafe_b64encode(zlib.compress(text, 9)).decode()


def expanded_items(items: Sequence[InputItem], *, field_name: str = "input") -> list[PlacedItem]:
    """The items, with what each compaction stands for in its place. Raises `ServiceError`.

    The messages of the user before a compaction take the places that it has for them, the newest the last one. A client
    may have left older ones out.
    """
    expanded: list[PlacedItem] = []
    begin, room = 0, _Room()
    for position, item in enumerate(items):
        place = f"{field_name}.{position}"
        if not isinstance(item, Compaction):
            expanded.append(PlacedItem(place, item))
            continue
        before, expanded = expanded[begin:], expanded[:begin]
        expanded += _merged(before, room.unpacked(item.encrypted_content, place), place)
        begin = len(expanded)
    return expanded


def _merged(before: list[PlacedItem], entries: Sequence[InputItem | None], place: str) -> list[PlacedItem]:
    number = sum(entry is None for entry in entries)
    users = [index for index, (_, item) in enumerate(before) if isinstance(item, InputMessage) and item.role == "user"]
    taken = dict.fromkeys(users[max(0, len(users) - number) :])
    waiting = iter([None] * (number - len(taken)) + [before[index] for index in taken])
    merged = [placed for index, placed in enumerate(before) if index not in taken]
    for index, entry in enumerate(entries):
        placed = next(waiting) if entry is None else PlacedItem(f"{place}.encrypted_content.{index}", entry)
        if placed is not None:
            merged.append(placed)
    return merged


@dataclass
class _Room:
    """What the compactions of one request may still hold: small texts unpack to large ones."""

    size: int = MAX_BYTES
    values: int = MAX_VALUES

    def unpacked(self, content: str, place: str) -> list[InputItem | None]:
        """The entries of a compaction. Raises `ServiceError` for anything that no server of this kind has written."""
        field = f"{place}.encrypted_content"
        try:
            packed = base64.b64decode(content.removeprefix(_PREFIX).encode(), altchars=b"-_", validate=True)
            reader = zlib.decompressobj()
            text = reader.decompress(packed, self.size + 1)
            self._take(len(text), count_values(text), field)
            read = json.loads(text) if content.startswith(_PREFIX) and reader.eof else None
            # One by one: other threads get their turn between two.
            entries = [_ENTRY.validate_python(entry) for entry in read] if isinstance(read, list) else None
        except (ValueError, zlib.error, RecursionError):
            entries = None
        if entries is None or any(isinstance(entry, Compaction) for entry in entries):
            remedy = "send it as `/v1/responses/compact` returned it"
            raise refusal(field, "this is no compaction of this server", remedy)
        return entries

    def _take(self, size: int, values: int, field: str) -> None:
        self.size -= size
        self.values -= values
        if self.size < 0 or self.values < 0:
            raise refusal(field, f"all compactions of a request {_ALLOWED}", "send the newest one only")
