"""Remove a key from the responses of a server, which may repeat it: no model and no file may see it."""

from __future__ import annotations

import json
import re
from typing import Final

REDACTED: Final = "[key]"
_STRING: Final = re.compile(r'"(?:[^"\\]+|\\.)*"')


def redact(text: str, key: str) -> str:
    """A text with `[key]` in place of the key, which may be empty."""
    return text.replace(key, REDACTED) if key else text


def redact_json(text: str, key: str) -> str:
    """JSON, as `json.dumps` writes it, with the key replaced in its strings (values and names). It stays JSON."""
    escaped = json.dumps(key)[1:-1]
    if not escaped or escaped not in text:
        return text
    return _STRING.sub(lambda match: json.dumps(redact(json.loads(match[0]), key)), text)
