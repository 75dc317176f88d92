"""Which strategies are served, and what can be asked of them: the single model only where one is named."""

from __future__ import annotations

from alpha_umi.contract.problems import ServiceError
from alpha_umi.contract.trajectories import CreateTrajectory
from orchestrator.settings import OrchestratorSettings


def require_strategy(settings: OrchestratorSettings, asked: CreateTrajectory) -> None:
    """Raises `ServiceError` for a strategy whose service is not known here, or a limit that it does not have."""
    if asked.strategy == "single" and not settings.backbone_url:
        raise ServiceError(
            "invalid-request",
            "this orchestrator has no single model",
            field="strategy",
            remedy="use `chain`, or start services.backbone and name its address in ALPHA_UMI_BACKBONE_URL",
        )
    if asked.strategy != "dfsdt" and asked.max_depth is not None:
        raise ServiceError(
            "invalid-request",
            f"the strategy `{asked.strategy}` has one branch, which is as long as `max_steps` allows",
            field="max_depth",
            remedy="leave it out, or use `dfsdt`",
        )
