"""A long text in little memory."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class PackedText:
    """The bytes of a text, compressed. `size` is their number."""

    compressed: bytes = field(repr=False)
    size: int

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """The text of these bytes."""
        return cls(zlib.compress(raw, 1), len(raw))

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The text of which this is the `record`."""
        return cls(base64.b64decode(record["zlib"]), record["size"])

    def record(self) -> dict[str, Any]:
        """A plain dict for the store."""
        return {"zlib": base64.b64encode(self.compressed).decode(), "size": self.size}

    def raw(self) -> bytes:
        """The bytes."""
        return zlib.decompress(self.compressed)


class Packer:
    """Compresses a text that comes in parts."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(1)
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, raw: bytes) -> None:
        """The next part."""
        self._parts.append(self._compressor.compress(raw))
        self._size += len(raw)

    def end(self) -> PackedText:
        """All parts. Nothing can be added then."""
        return PackedText(b"".join([*self._parts, self._compressor.flush()]), self._size)
