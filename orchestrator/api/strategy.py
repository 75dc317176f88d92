"""Which strategies are served: the single model is asked only where one is named."""

from __future__ import annotations

from alpha_umi.contract.problems import ServiceError
from orchestrator.settings import OrchestratorSettings


def require_strategy(settings: OrchestratorSettings, strategy: str) -> None:
    """Raises `ServiceError` for a strategy whose service this orchestrator does not know."""
    if strategy == "single" and not settings.backbone_url:
        raise ServiceError(
            "invalid-request",
            "this orchestrator has no single model",
            field="strategy",
            remedy="use `chain`, or start services.backbone and name its address in ALPHA_UMI_BACKBONE_URL",
        )
