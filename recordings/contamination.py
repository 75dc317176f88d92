"""Contamination: training excludes the instructions of suites, and results say whether a model was trained on a suite.

An instruction is recognised by its digest: SHA-256 of the text, case-folded and with white space collapsed. Copies are
recognised, paraphrases are not. A model's manifest lists the digests of its training instructions as `trained_on`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from recordings.errors import Contaminated, NotTheFormat

TRAINED_ON = "trained_on"
# The field of a run file with a role's `Finding`.
TRAINED_ON_SUITE = "trained_on_suite"
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Finding:
    """Contamination of a suite according to a manifest.

    `listed`: the model was trained on some of its instructions; `clean`: on none; `unknown`: the manifest has no
    `trained_on`. `instructions` counts the training instructions among the `total` of the suite.
    """

    verdict: Literal["listed", "clean", "unknown"]
    instructions: int
    total: int

    @property
    def sentence(self) -> str:
        """The finding as a phrase for reports."""
        match self.verdict:
            case "listed":
                return f"trained on {self.instructions} of the suite's {self.total} instructions"
            case "clean":
                return f"trained on none of the suite's {self.total} instructions"
            case "unknown":
                return "the manifest does not say which instructions it was trained on"


def overlapping(texts: Iterable[str], digests: frozenset[str]) -> tuple[str, ...]:
    """The texts whose digests are in `digests`, in order and without repetition."""
    return tuple(dict.fromkeys(text for text in texts if instruction_digest(text) in digests))


def check_training(trained_on: Iterable[str], suites: Mapping[str, frozenset[str]]) -> None:
    """Raise `Contaminated` for the first suite (name to digests) that shares a digest with `trained_on`."""
    training_digests = frozenset(trained_on)
    for name, digests in suites.items():
        if shared := training_digests & digests:
            raise Contaminated(name, shared)


def check_manifest(manifest: Mapping[str, Any], digests: frozenset[str]) -> Finding:
    """Check a manifest against the digests of a suite. Raises `NotTheFormat` for an invalid `trained_on`."""
    trained_on = manifest.get(TRAINED_ON)
    if trained_on is None:
        return Finding("unknown", 0, len(digests))
    if not isinstance(trained_on, (list, tuple)) or not all(map(_is_digest, trained_on)):
        raise NotTheFormat(
            f"the manifest's `{TRAINED_ON}` is not a list of SHA-256 digests",
            remedy="write the digests as `recordings.contamination` makes them, or omit the field",
        )
    shared = len(digests.intersection(trained_on))
    return Finding("listed" if shared else "clean", shared, len(digests))


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEX


def instruction_digest(text: str) -> str:
    """The hexadecimal digest of an instruction."""
    # JSON text may contain a lone surrogate, which strict UTF-8 cannot encode.
    normal = " ".join(text.casefold().split())
    return hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()
