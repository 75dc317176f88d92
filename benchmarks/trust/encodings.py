"""The encodings in which a server may repeat a credential, and how a reader would recognize it in them."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, unquote_plus

Encode = Callable[[str], str]


def _each(form: str) -> Encode:
    return lambda text: "".join(form.format(ord(letter)) for letter in text)


def _base64(text: str, before: str = "", *, url: bool = False, padded: bool = True) -> str:
    encoded = (base64.urlsafe_b64encode if url else base64.b64encode)(f"{before}{text}".encode()).decode()
    return encoded if padded else encoded.rstrip("=")


# A credential as text inside a JSON string; the containers add the quotes.
_TEXTS: dict[str, Encode] = {
    "plain": lambda text: text,
    "backslash before slash": lambda text: text.replace("/", "\\/"),
    "unicode escapes": _each("\\u{:04x}"),
    "unicode escapes, upper case": _each("\\u{:04X}"),
    "first character escaped": lambda text: f"\\u{ord(text[0]):04x}{text[1:]}",
    "last character escaped": lambda text: f"{text[:-1]}\\u{ord(text[-1]):04X}",
    "percent": lambda text: quote(text, safe=""),
    "percent, every character": _each("%{:02x}"),
    "percent, upper case": _each("%{:02X}"),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "entities": _each("&#{};"),
    "entities, hexadecimal": _each("&#x{:x};"),
    "entities with zeros": _each("&#x{:06X};"),
    "hexadecimal": _each("{:02x}"),
    "hexadecimal, upper case": _each("{:02X}"),
    "base 64": _base64,
    "base 64, second alignment": lambda text: _base64(text, "u"),
    "base 64, third alignment": lambda text: _base64(text, "us"),
    "base 64 for addresses": lambda text: _base64(text, "user:", url=True),
    "base 64 without padding": lambda text: _base64(text, padded=False),
}
# A body around it, and its media type.
_BODIES: dict[str, tuple[str, str, Encode]] = {
    "JSON value": ("200 OK", "application/json", lambda text: f'{{"key": "{text}"}}'),
    "JSON name": ("200 OK", "application/json", lambda text: f'{{"{text}": 1}}'),
    "JSON array": ("200 OK", "application/json", lambda text: f'["a", ["{text}"]]'),
    "JSON in JSON": ("200 OK", "application/json", lambda text: json.dumps({"raw": f'{{"key": "{text}"}}'})),
    "broken JSON": ("200 OK", "application/json", lambda text: f'{{"key": "{text}", '),
    "error": ("403 Forbidden", "application/json", lambda text: f'{{"error": "bad key {text}"}}'),
    "text": ("200 OK", "text/plain", lambda text: f"your key is {text}."),
    "page": ("200 OK", "text/html", lambda text: f"<html><a href='?k={text}'>key</a></html>"),
    "XML": ("200 OK", "application/xml", lambda text: f'<a key="{text}"><b>{text}</b></a>'),
    "list": ("500 Oops", "text/csv", lambda text: f"name,key\nann,{text}\n"),
}


def answers() -> list[tuple[str, str, str, Encode]]:
    """200 answers: name, status, media type, and the body for a credential."""
    return [
        (f"{text} in {body}", status, media_type, _composed(encode, around))
        for text, encode in _TEXTS.items()
        for body, (status, media_type, around) in _BODIES.items()
    ]


def _composed(encode: Encode, around: Encode) -> Encode:
    return lambda secret: around(encode(secret))


def shows(text: str, secret: str) -> bool:
    """Whether a text has the secret in clear, escaped, percent-encoded, hexadecimal or in base 64."""
    for form in _decoded(text):
        if secret in form or secret.encode().hex() in re.sub(r"[\s:]|0x|\\x", "", form).lower():
            return True
        plain = form.replace("-", "+").replace("_", "/")
        if any(_core(secret, offset) in plain for offset in range(3)):
            return True
    return False


def _core(secret: str, offset: int) -> str:
    """The part of a base 64 text that the neighbours of the secret do not change."""
    encoded = base64.b64encode(b"\0" * offset + secret.encode()).decode().rstrip("=")
    return encoded[(0, 2, 3)[offset] : -1]


def _decoded(text: str) -> set[str]:
    forms = {text}
    for _ in range(3):
        forms |= {
            decode(form) for form in forms for decode in (unquote_plus, html.unescape, _without_escapes)
        }  # fmt: skip
    return forms


def _without_escapes(text: str) -> str:
    text = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
    return re.sub(r"\\+([/\"])", r"\1", text)
