"""Secrets are removed in every notation, and JSON stays valid."""

from __future__ import annotations

import base64
import html
import itertools
import json
import quopri
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alpha_umi.redaction import Redactor


@pytest.mark.parametrize(
    ("key", "value", "left"),
    [
        ("k", {"ok": ["k", {"a": "kk"}]}, {"o[key]": ["[key]", {"a": "[key][key]"}]}),
        ("1", [1, 1.5, True, "1"], [1, 1.5, True, "[key]"]),
        ("n", ["\n", "n"], ["\n", "[key]"]),
        ("u00", ["\u00fc", "u00"], ["\u00fc", "[key]"]),
        ('a"b\\', ['a"b\\c', 'a"b'], ["[key]c", 'a"b']),
        ("\t", {"ne\t": ["t"]}, {"ne[key]": ["t"]}),
        ("ü", ["über"], ["[key]ber"]),
        ("", ["x"], ["x"]),
    ],
)
def test_in_values_and_names(key: str, value: object, left: object) -> None:
    assert json.loads(Redactor.of_key(key).redact_strings(json.dumps(value))) == left


def test_in_words() -> None:
    assert Redactor.of_key("key").redact("a key") == "a [key]"
    assert Redactor.of_key("").redact("a key") == "a key"


def each_as(form: str) -> Callable[[str], str]:
    return lambda text: "".join(form.format(ord(character)) for character in text)


def some(encode: Callable[[str], str], reserved: str) -> Callable[[str], str]:
    """Every other character encoded, and those that mean something in the notation."""
    return lambda text: "".join(
        encode(character) if place % 2 or character == reserved else character for place, character in enumerate(text)
    )


def hidden_in_base64(before: int, *, url: bool = False, padded: bool = True) -> Callable[[str], str]:
    def encode(text: str) -> str:
        raw = b"x" * before + text.encode() + b"yy"
        encoded = (base64.urlsafe_b64encode if url else base64.b64encode)(raw).decode()
        return encoded if padded else encoded.rstrip("=")

    return encode


# What a step of the redactor decodes.
ESCAPES: Final[dict[str, Callable[[str], str]]] = {
    "none": str,
    "json": lambda text: json.dumps(text)[1:-1],
    "solidus": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "u": each_as("\\u{:04x}"),
    "U": each_as("\\u{:04X}"),
    "some u": some(each_as("\\u{:04x}"), "\\"),
    "braces": each_as("\\u{{{:x}}}"),
    "long u": each_as("\\U{:08x}"),
    "x": each_as("\\x{:02x}"),
    "octal": each_as("\\{:03o}"),
    "quote": quote,
    "quote all": lambda text: quote(text, safe=""),
    "percent": each_as("%{:02X}"),
    "lower percent": each_as("%{:02x}"),
    "some percent": some(each_as("%{:02x}"), "%"),
    "percent u": each_as("%u{:04x}"),
    "html": html.escape,
    "decimal": each_as("&#{};"),
    "padded decimal": each_as("&#{:07};"),
    "hexadecimal": each_as("&#x{:x};"),
    "upper hexadecimal": each_as("&#X{:X};"),
    "some entities": some(each_as("&#x{:x};"), "&"),
}
# What is searched for as it is.
CODES: Final[dict[str, Callable[[str], str]]] = {
    "none": str,
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "spaced hex": lambda text: text.encode().hex(" "),
    "colons": lambda text: text.encode().hex(":"),
    "list of hex": lambda text: str([hex(byte) for byte in text.encode()]),
    "list": lambda text: str(list(text.encode())),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "mime": lambda text: base64.encodebytes(b"u" * 51 + text.encode()).decode(),
    **{
        f"base64 {before} {url} {padded}": hidden_in_base64(before, url=url, padded=padded)
        for before, url, padded in itertools.product(range(3), (True, False), (True, False))
    },
    "quoted-printable": lambda text: quopri.encodestring(b"u" * 60 + text.encode()).decode(),
    "UTF-16": lambda text: text.encode("utf-16-le").decode(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 of hex": lambda text: base64.b64encode(text.encode().hex().encode()).decode(),
    "hex of base64": lambda text: base64.b64encode(text.encode()).hex(),
    "base64 of percent": lambda text: base64.b64encode(quote(text, safe="").encode()).decode(),
}
NOTATIONS = [(code, *escapes) for code in CODES for escapes in itertools.product(ESCAPES, ESCAPES)]


def written(secret: str, notation: tuple[str, ...]) -> str:
    code, *escapes = notation
    text = CODES[code](secret)
    for escape in escapes:
        text = ESCAPES[escape](text)
    return text


def readable(text: str) -> list[str]:
    """The text, and what simple decoders make of it."""
    texts = [text]
    for decode in (
        unquote,
        html.unescape,
        lambda each: re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), each),
    ):
        texts += [decode(each) for each in texts]
    return texts


SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=40)


def test_there_are_many_notations() -> None:
    assert len(NOTATIONS) >= 10_000


@settings(deadline=None, max_examples=400)
@given(SECRETS, st.sampled_from(NOTATIONS), st.text("ab =/\n", max_size=5), st.text("yz ,;\n", max_size=5))
@example("sk/live+Ab9~x=z-Q_1", ("none", "json", "json"), "", "")
def test_no_notation_shows_a_secret(secret: str, notation: tuple[str, ...], before: str, after: str) -> None:
    text = before + written(secret, notation) + after
    shown = Redactor([secret]).redact(text)
    assert "[redacted]" in shown, text
    assert not any(secret in each for each in readable(shown))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("escape", ESCAPES)
def test_each_notation_in_json(code: str, escape: str) -> None:
    """Nothing else of the value is lost."""
    secret = "sk/live+Ab9~x=z-Q_1"
    value: Any = {"echo": f"<{written(secret, (code, escape))}>", "other": [1.50, "é"]}
    shown = json.loads(Redactor([secret]).redact(json.dumps(value)))
    assert shown["other"] == value["other"]
    assert shown["echo"].startswith("<")
    assert "[redacted]" in shown["echo"]
    assert secret[4:12] not in shown["echo"]


@settings(deadline=None)
@given(st.text(), SECRETS)
def test_other_texts_stay(text: str, secret: str) -> None:
    assert Redactor([secret]).redact(text) == text or secret.lower() in text.lower()


def test_a_cut_text_may_end_within_a_secret() -> None:
    assert Redactor(["x" * 10]).longest >= len("\\u0078" * 9)
    assert Redactor().longest == 0


def test_short_secrets_stay() -> None:
    assert Redactor(["short"]).redact("too short for it") == "too short for it"
    assert Redactor(["longer"]).redact("no longer short") == "no [redacted] short"
