"""What has to be read beside the figures of a run, out of what its first line keeps: no figure tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpha_umi.roles.turns import Role
from recordings.contamination import TRAINED_ON_SUITE


def excluded_sentence(excluded: Mapping[str, int]) -> str | None:
    """What of a suite cannot be measured, by the reason; None where all of it can."""
    if not excluded:
        return None
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in sorted(excluded.items()))
    return f"left out of the suite, because it cannot be measured: {reasons}"


def trained_on_sentences(models: Mapping[Role, Mapping[str, Any]]) -> list[str]:
    """For each role whose model was trained on instructions of the suite, on how many."""
    # The manifests in a run line may say anything.
    found = {role: model.get(TRAINED_ON_SUITE) for role, model in models.items()}
    return [
        f"the {role}'s model was trained on {told.get('instructions')} of the suite's {told.get('total')} instructions"
        for role, told in found.items()
        if isinstance(told, dict) and told.get("verdict") == "listed"
    ]
