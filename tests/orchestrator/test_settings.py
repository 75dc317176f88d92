"""Settings of the orchestrator: addresses of replicas, and the messages for invalid ones."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from alpha_umi.trajectory import Limits
from orchestrator.__main__ import main
from orchestrator.settings import OrchestratorSettings, explain, require_current_names


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
    ("value", "message"),
    [
        ("", "ALPHA_UMI_PLANNER_URL: Tuple should have at least 1 item"),
        ("http://one,two", "ALPHA_UMI_PLANNER_URL (entry 2): Input should be a valid URL"),
        ("ftp://one", "ALPHA_UMI_PLANNER_URL (entry 1): URL scheme should be 'http' or 'https'"),
        ("http://one,http://one/", "ALPHA_UMI_PLANNER_URL: Value error, an address is listed twice"),
    ],
)
def test_addresses_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, value: str, message: str) -> None:
    assert refusal(monkeypatch, value).startswith(message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEARCH_DEPTH", "0"), ("SEARCH_WIDTH", "9"), ("SEARCH_MAX_STEPS", "65"), ("MAX_TOKENS", "0"),
        ("MAX_TOKENS", "many"),
    ],
)  # fmt: skip
def test_limits_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ALPHA_UMI_{name}", value)
    with pytest.raises(ValidationError) as caught:
        OrchestratorSettings()
    assert explain(caught.value).startswith(f"ALPHA_UMI_{name}: Input should be")


def test_a_request_chooses_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHA_UMI_MAX_TOKENS", "")
    monkeypatch.setenv("ALPHA_UMI_SEARCH_WIDTH", "3")
    settings = OrchestratorSettings()
    assert settings.limits("chain") == Limits(max_width=3)
    assert settings.limits("dfsdt") == Limits(max_steps=30, max_width=3)
    chosen = settings.limits("dfsdt", max_steps=5, max_tokens=900, max_depth=7)
    assert chosen == Limits(max_steps=5, max_tokens=900, max_depth=7, max_width=3)


@pytest.mark.parametrize("name", ["ALPHA_UMI_ON_UNREADABLE", "alpha_umi_on_unreadable"])
def test_an_old_name_of_a_setting_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "")
    require_current_names(os.environ)
    monkeypatch.setenv(name, "caller")
    assert main() == 2
    assert "ALPHA_UMI_ON_UNREADABLE was renamed: set ALPHA_UMI_ON_PARSE_FAILURE instead" in capsys.readouterr().err
