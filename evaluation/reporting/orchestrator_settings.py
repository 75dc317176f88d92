"""How the orchestrator of a run was set, where that is not as it comes and the run's own options do not say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from alpha_umi.trajectory import Limits
from evaluation.told_limits import told_limits
from evaluation.whole_run import WholeRun

SEARCH_MAX_STEPS: Final = 30
_USUAL: Final = Limits()
# The setting of each limit that events tell, and what it is unless it is set.
_SETTINGS: Final[Mapping[str, tuple[str, int | None]]] = {
    "max_steps": ("ALPHA_UMI_MAX_STEPS", _USUAL.max_steps),
    "max_tokens": ("ALPHA_UMI_MAX_TOKENS", _USUAL.max_tokens),
    "max_repeats": ("ALPHA_UMI_MAX_REPEATS", _USUAL.max_repeats),
    "max_depth": ("ALPHA_UMI_SEARCH_DEPTH", _USUAL.max_depth),
    "max_width": ("ALPHA_UMI_SEARCH_WIDTH", _USUAL.max_width),
}
# A search has a setting of its own.
_OF_SEARCH: Final = {"max_steps": ("ALPHA_UMI_SEARCH_MAX_STEPS", SEARCH_MAX_STEPS)}


def settings_remark(run: WholeRun) -> tuple[str, ...]:
    """A comment for a shell with all of them, if there are any."""
    told = " ".join(_settings(run))
    return (f"# the orchestrator was started with {told}",) if told else ()


def _settings(run: WholeRun) -> Iterator[str]:
    if run.about.constrained is False:
        yield "ALPHA_UMI_CONSTRAINED=false"
    known = {**_SETTINGS, **_OF_SEARCH} if run.about.strategy == "dfsdt" else _SETTINGS
    for limit, (setting, usual) in known.items():
        told = told_limits(run, limit)
        if getattr(run.about, limit, None) is None and told not in ([], [repr(usual)]):
            # Several, where it was started again with another one in between.
            yield f"{setting}={' or '.join('' if value == 'None' else value for value in told)}"
