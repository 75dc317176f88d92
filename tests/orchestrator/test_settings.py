"""Settings of the orchestrator: addresses of replicas, and what is said about those that cannot be used."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from orchestrator.settings import OrchestratorSettings, explain


def refusal(monkeypatch: pytest.MonkeyPatch, value: str) -> str:
    monkeypatch.setenv("ALPHA_UMI_PLANNER_URL", value)
    with pytest.raises(ValidationError) as caught:
        OrchestratorSettings()
    return explain(caught.value)


def test_several_addresses_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHA_UMI_PLANNER_URL", "http://one:8001, http://two:8001,")
    monkeypatch.setenv("ALPHA_UMI_BACKBONE_URL", "")
    assert OrchestratorSettings().role_addresses() == {
        "planner": ["http://one:8001/", "http://two:8001/"],
        "caller": ["http://127.0.0.1:8002/"],
        "summarizer": ["http://127.0.0.1:8003/"],
    }


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "ALPHA_UMI_PLANNER_URL: Tuple should have at least 1 item"),
        ("http://one,two", "ALPHA_UMI_PLANNER_URL (entry 2): Input should be a valid URL"),
        ("ftp://one", "ALPHA_UMI_PLANNER_URL (entry 1): URL scheme should be 'http' or 'https'"),
        ("http://one,http://one/", "ALPHA_UMI_PLANNER_URL: Value error, an address stands there twice"),
    ],
)
def test_addresses_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, value: str, told: str) -> None:
    assert refusal(monkeypatch, value).startswith(told)
