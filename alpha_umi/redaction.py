r"""Remove secrets from a text that another server sent: no model, log or client may read them.

A server may repeat a secret in another notation: `\/` and `\u0073` of JSON, `%73`, `&#115;`, base64 at any place of a
longer text, hexadecimal, and one within another. The text is decoded step by step, with the place of each character in
the original, and searched after each step. Compressed, encrypted and rearranged secrets are left out.
"""

from __future__ import annotations

import base64
import json
import re
from array import array
from collections.abc import Collection, Iterator
from html.entities import html5
from typing import Final, Self
from urllib.parse import quote

# A shorter text would also match words that are no secret.
SHORTEST: Final = 6
# JSON takes the first step, a doubly encoded value in it the next ones, and line breaks the last.
_STEPS: Final = 4
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"')
# The first eight groups are hexadecimal numbers. Line breaks stand within long lines of base64 and mail.
_ESCAPE: Final = re.compile(
    r"(?-i:\\U)([0-9a-f]{8})|\\u\{([0-9a-f]{1,6})\}|\\u([0-9a-f]{4})|\\x([0-9a-f]{2})|%u([0-9a-f]{4})|%([0-9a-f]{2})"
    r"|&\#x0*([0-9a-f]{1,6});?|=(3d)|\\([0-7]{3})|&\#0*([0-9]{1,7});?|&([a-z]+;)|\\([\"'\\/bfnrt])"
    r"|(=\r?\n|\r?\n[ \t]*(?=[\w+/]))",
    re.IGNORECASE,
)
_HEXADECIMAL_GROUPS: Final = 8
_OCTAL, _DECIMAL, _NAMED, _ESCAPED = range(9, 13)
_CONTROL: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
# What base64 makes of the bytes before the secret, by their number modulo 3, depends on them: so many characters.
_BASE64_SHARED: Final = (0, 2, 3)


class Redactor:
    """Replaces each of some secrets by `mark`. Secrets shorter than `shortest` characters stay."""

    def __init__(self, secrets: Collection[str] = (), *, mark: str = "[redacted]", shortest: int = SHORTEST) -> None:
        long_enough = {secret for secret in secrets if len(secret) >= max(1, shortest)}
        self._mark = mark
        self._forms = sorted({form.lower() for secret in long_enough for form in _forms(secret)})
        self._codes = [re.compile(code) for secret in sorted(long_enough) for code in _codes(secret)]
        # Of the end of a text that was cut, this many characters may be the beginning of a secret.
        self.longest = max((len(r"\u0000") * len(secret) for secret in long_enough), default=0)

    @classmethod
    def of_key(cls, key: str) -> Self:
        """Replaces the key of a server, of any length, by `[key]`. It may be empty."""
        return cls([key], mark="[key]", shortest=1)

    def redact(self, text: str) -> str:
        """The text with the mark in place of each secret. JSON stays JSON unless a number is the secret."""
        if not self._forms:
            return text
        pieces: list[str] = []
        end = 0
        for first, last in sorted(self._spans(text)):
            if first >= end:
                pieces += text[end:first], self._mark
            end = max(end, last)
        return "".join([*pieces, text[end:]])

    def redact_strings(self, text: str) -> str:
        """JSON with the mark in place of each secret in its strings, names of members included. It stays JSON."""
        if self.redact(text) == text:
            return text
        return _STRING.sub(lambda match: json.dumps(self.redact(json.loads(match[0]))), text)

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of each secret in the text; they may overlap."""
        yield from self._occurrences(_lower(text))
        starts = array("L")
        for _ in range(_STEPS):
            if not _ESCAPE.search(text):
                return
            text, starts = _decoded(text, starts or array("L", range(len(text) + 1)))
            yield from ((starts[first], starts[last]) for first, last in self._occurrences(_lower(text)))

    def _occurrences(self, text: str) -> Iterator[tuple[int, int]]:
        for form in self._forms:
            first = text.find(form)
            while first >= 0:
                yield first, first + len(form)
                first = text.find(form, first + len(form))
        for code in self._codes:
            yield from (match.span() for match in code.finditer(text))


def _decoded(text: str, starts: array[int]) -> tuple[str, array[int]]:
    """The text with its escapes decoded once, and where each character, and the end, was in the original."""
    pieces: list[str] = []
    places, end = array("L"), 0
    for match in _ESCAPE.finditer(text):
        character = _character(match)
        pieces += text[end : match.start()], character
        places += starts[end : match.start()]
        if character:
            places.append(starts[match.start()])
        end = match.end()
    return "".join([*pieces, text[end:]]), places + starts[end:]


def _character(match: re.Match[str]) -> str:
    """The character that an escape stands for; none for a line break."""
    kind = match.lastindex or 0
    if kind <= _HEXADECIMAL_GROUPS:
        return _of_code(int(match[kind], 16))
    if kind == _OCTAL:
        return _of_code(int(match[kind], 8))
    if kind == _DECIMAL:
        return _of_code(int(match[kind]))
    if kind == _NAMED:
        return html5.get(match[kind], html5.get(match[kind].lower(), " "))[:1]
    return _CONTROL.get(match[kind], match[kind]) if kind == _ESCAPED else ""


def _of_code(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else "\N{REPLACEMENT CHARACTER}"


def _lower(text: str) -> str:
    """The text in lower case, of the same length."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(each.lower() if each.isascii() else each for each in text)


def _forms(secret: str) -> Iterator[str]:
    """The secret itself and its encodings that no step decodes."""
    yield secret
    yield secret.replace(" ", "+")
    # UTF-16 that is read as another encoding.
    yield "\0".join(secret)
    # Base64 is also written without its padding.
    if len(bare := secret.rstrip("=")) >= SHORTEST:
        yield bare
    yield from _unescaped(secret)
    raw = secret.encode()
    once = {
        raw, raw.hex().encode(), raw.hex().upper().encode(), quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(), base64.b64encode(raw), base64.urlsafe_b64encode(raw).rstrip(b"="),
        secret.encode("utf-16-le"), secret.encode("utf-16-be"),
    }  # fmt: skip
    encoded = [base64.b32encode(each).decode().rstrip("=") for each in once]
    encoded += [core for each in once for core in _base64_cores(each)]
    yield from (form for form in encoded if len(form) >= SHORTEST)


def _unescaped(secret: str) -> Iterator[str]:
    """What the steps make of a secret that looks like an escape itself, when another notation around it is decoded."""
    for _ in range(_STEPS):
        unescaped, _ = _decoded(secret, array("L", range(len(secret) + 1)))
        if unescaped == secret or len(unescaped) < SHORTEST:
            return
        yield unescaped
        secret = unescaped


def _base64_cores(raw: bytes) -> Iterator[str]:
    """What base64 makes of the bytes alone, for each place in a longer text, in both alphabets."""
    for before, shared in enumerate(_BASE64_SHARED):
        core = base64.b64encode(bytes(before) + raw)[shared:].decode()
        # The last character depends on what follows, unless the bytes are at the end or fill their group.
        core = core.rstrip("=")[: None if (before + len(raw)) % 3 == 0 else -1]
        yield core
        yield core.translate(str.maketrans("+/", "-_"))


def _codes(secret: str) -> Iterator[str]:
    """Patterns of the secret's bytes in hexadecimal and of their numbers, with or without something in between."""
    for raw in (secret.encode(), base64.b64encode(secret.encode()).rstrip(b"=")):
        if len(raw) * 2 >= SHORTEST:
            yield r"\W{0,4}(?:0x)?".join(f"{byte:02x}" for byte in raw)
    if len(secret) >= SHORTEST:
        yield r"\W{1,4}".join(str(byte) for byte in secret.encode())
