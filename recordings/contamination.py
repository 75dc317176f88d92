"""No model is measured on what it was trained on: training refuses a suite's instructions, and a result says it.

An instruction is recognised by its digest (`instructions`): copies are found, paraphrases are not. A model's manifest
lists the digests of the instructions it was trained on under `trained_on`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from recordings.errors import Contaminated, NotTheFormat

TRAINED_ON = "trained_on"
# Under which a run keeps what a manifest says about its suite.
FOUND = "trained_on_suite"
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Finding:
    """What a manifest says about a suite.

    `listed`: some of its instructions were trained on; `clean`: none was; `unknown`: the manifest does not say.
    `instructions` counts those that were trained on, of `total` in the suite.
    """

    verdict: Literal["listed", "clean", "unknown"]
    instructions: int
    total: int

    @property
    def sentence(self) -> str:
        """For whoever reads the result."""
        match self.verdict:
            case "listed":
                return f"trained on {self.instructions} of the suite's {self.total} instructions"
            case "clean":
                return f"trained on none of the suite's {self.total} instructions"
            case "unknown":
                return "the manifest does not say which instructions it was trained on"


def overlapping(texts: Iterable[str], digests: frozenset[str]) -> tuple[str, ...]:
    """The training instructions that a suite has, each once, in order."""
    return tuple(dict.fromkeys(text for text in texts if instruction_digest(text) in digests))


def check_training(trained_on: Iterable[str], suites: Mapping[str, frozenset[str]]) -> None:
    """Raises `Contaminated` for the first suite, by name and digests, that has any of the instructions trained on."""
    wanted = frozenset(trained_on)
    for name, digests in suites.items():
        if found := wanted & digests:
            raise Contaminated(name, found)


def check_manifest(manifest: Mapping[str, Any], digests: frozenset[str]) -> Finding:
    """What a model's manifest says about a suite's instructions. Raises `NotTheFormat` for a broken list."""
    trained_on = manifest.get(TRAINED_ON)
    if trained_on is None:
        return Finding("unknown", 0, len(digests))
    if not isinstance(trained_on, (list, tuple)) or not all(map(_is_digest, trained_on)):
        raise NotTheFormat(
            f"the manifest's `{TRAINED_ON}` is no list of SHA-256 digests",
            remedy="write the digests as `recordings.contamination` makes them, or leave the field out",
        )
    found = len(digests.intersection(trained_on))
    return Finding("listed" if found else "clean", found, len(digests))


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= _HEX


def instruction_digest(text: str) -> str:
    """The digest of an instruction."""
    # Half a surrogate pair can stand in JSON, and is text all the same.
    normal = " ".join(text.casefold().split())
    return hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()
