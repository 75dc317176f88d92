"""Patterns of JSON Schemas, and what they cost.

A pattern is enforced if an engine that matches in linear time knows it and its compiled form is small. Not enforced are
look-around, references back to a group, and long counts of large classes: whoever receives the value still applies
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs

from alpha_umi.contract.schema_references import DATA, NAMED, step

# Of one compiled pattern. Compiling takes about 6 ms for a MiB, also where more is refused.
MAX_PATTERN_BYTES: Final = 2**20
MAX_CHARACTERS: Final = 2_000
# The engine folds the cases of a class when it reads the pattern, which takes half a millisecond each.
_MAX_FOLDED_CHARACTERS: Final = 64
_FLAGS: Final = re.compile(r"\(\?[a-zA-Z-]*[:)]")
_SIZES: Final = tuple(2**power for power in range(10, 20))
_ECMA: Final = jsonschema_rs.Draft202012Validator({"format": "regex"}, validate_formats=True)


class PatternError(ValueError):
    """The text is not a regular expression."""


def pattern_options(size: int = MAX_PATTERN_BYTES) -> jsonschema_rs.RegexOptions:
    """The engine's options for patterns of at most `size` bytes each."""
    return jsonschema_rs.RegexOptions(size_limit=size)


@lru_cache(8_192)
def enforced_size(pattern: str) -> int | None:
    """Bytes of the compiled pattern, rounded up; None if it is not enforced."""
    if _is_long(pattern) or not _compiles(pattern, MAX_PATTERN_BYTES):
        return None
    return next((size for size in _SIZES if _compiles(pattern, size)), MAX_PATTERN_BYTES)


def _is_long(pattern: str) -> bool:
    is_folded = any("i" in flags for flags in _FLAGS.findall(pattern))
    return len(pattern) > (_MAX_FOLDED_CHARACTERS if is_folded else MAX_CHARACTERS)


def _is_regular_expression(pattern: str) -> bool:
    """Whether it is one of JavaScript, or of the dialect of Perl's that some publishers write."""
    fancy = jsonschema_rs.FancyRegexOptions(size_limit=MAX_PATTERN_BYTES)
    return _is_long(pattern) or _ECMA.is_valid(pattern) or _compiles(pattern, options=fancy)


def _compiles(pattern: str, size: int = 0, *, options: jsonschema_rs.FancyRegexOptions | None = None) -> bool:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options or pattern_options(size))
    except jsonschema_rs.ValidationError:
        return False
    return True


class PatternBudget:
    """Bytes of the compiled forms of distinct patterns that something may have in all."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._charged: set[str] = set()

    def charge(self, pattern: str) -> bool:
        """Whether the pattern is within the budget. One that is not enforced costs the attempt. Raises
        `PatternError`."""
        if pattern in self._charged:
            return True
        # A pattern costs this before it is measured, so that no more are measured than the budget pays.
        if self._left <= 0:
            return False
        self._charged.add(pattern)
        size = enforced_size(pattern)
        self._left -= size or MAX_PATTERN_BYTES
        if size is None and not _is_regular_expression(pattern):
            raise PatternError("it is not a regular expression")
        return self._left >= 0


def patterns(node: Any, pointer: str = "", *, named: bool = False) -> Iterator[tuple[str, str]]:
    """Each pattern of a schema, with its JSON pointer. `named`: the keys of the node are names, not keywords."""
    if isinstance(node, list):
        for position, value in enumerate(node):
            yield from patterns(value, step(pointer, position))
    elif isinstance(node, Mapping):
        for key, value in node.items():
            at = step(pointer, key)
            if named:
                yield from patterns(value, at)
            elif key == "pattern" and isinstance(value, str):
                yield value, at
            elif key not in DATA:
                if key == "patternProperties" and isinstance(value, Mapping):
                    yield from ((each, step(at, each)) for each in value)
                yield from patterns(value, at, named=key in NAMED)


def enforceable(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema, or one without the patterns that are not enforced, which refuses nothing else."""
    if all(enforced_size(pattern) is not None for pattern, _ in patterns(schema)):
        return schema
    return dict(_loosened(schema))


# With a weaker schema inside, these would refuse more.
_STRICTER: Final = frozenset({
    "not", "if", "then", "else", "contains", "minContains", "maxContains", "unevaluatedItems", "unevaluatedProperties",
})  # fmt: skip


def _loosened(node: Any, *, named: bool = False) -> Any:
    if isinstance(node, list):
        return [_loosened(value) for value in node]
    if not isinstance(node, Mapping):
        return node
    if named:
        return {key: _loosened(value) for key, value in node.items()}
    remaining = {key: value for key, value in node.items() if key not in _STRICTER and not _is_unenforced(key, value)}
    if isinstance(by_pattern := remaining.get("patternProperties"), Mapping):
        remaining["patternProperties"] = {
            key: value for key, value in by_pattern.items() if enforced_size(key) is not None
        }
        if len(remaining["patternProperties"]) < len(by_pattern):
            remaining.pop("additionalProperties", None)
    if (options := remaining.pop("oneOf", None)) is not None:
        remaining.setdefault("anyOf", options)
    return {key: value if key in DATA else _loosened(value, named=key in NAMED) for key, value in remaining.items()}


def _is_unenforced(key: str, value: Any) -> bool:
    return key == "pattern" and isinstance(value, str) and enforced_size(value) is None
