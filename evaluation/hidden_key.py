"""Take a key out of what a server says: it may repeat what it was sent, and a key is for no model and no file."""

from __future__ import annotations

import json
import re
from typing import Final

HIDDEN: Final = "[key]"
_STRING: Final = re.compile(r'"(?:[^"\\]+|\\.)*"')


def without_key(text: str, key: str) -> str:
    """A text without a key, which may be empty."""
    return text.replace(key, HIDDEN) if key else text


def json_without_key(told: str, key: str) -> str:
    """JSON, as `json.dumps` writes it, without a key in its strings: values and names. It stays JSON for any key."""
    escaped = json.dumps(key)[1:-1]
    if not escaped or escaped not in told:
        return told
    return _STRING.sub(lambda found: json.dumps(without_key(json.loads(found[0]), key)), told)
