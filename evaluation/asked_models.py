"""Which models are asked, and what their manifests say about the instructions that they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alpha_umi.contract.roles import ModelInfo
from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.turns import Role
from evaluation.predicting import ROLES_OF
from evaluation.role_services import RoleServices
from recordings.contamination import TRAINED_ON, TRAINED_ON_SUITE, Finding, check_manifest


@dataclass(frozen=True)
class AskedModels:
    """The model of each role, and what its manifest tells of a suite."""

    infos: Mapping[Role, ModelInfo]
    findings: Mapping[Role, Finding]

    def kept(self) -> dict[Role, dict[str, Any]]:
        """What a run keeps of them."""
        return {role: _kept(model, self.findings[role]) for role, model in self.infos.items()}


async def models_of(services: RoleServices, strategy: Strategy, digests: frozenset[str]) -> AskedModels:
    """The models behind the services; `digests` are those of the instructions that they are asked.

    Raises `EvaluationError`: a service that is not there or runs another role, a broken manifest.
    """
    infos = {role: await services.model(role) for role in ROLES_OF[strategy]}
    return AskedModels(infos, {role: check_manifest(_manifest(model), digests) for role, model in infos.items()})


def _manifest(model: ModelInfo) -> Mapping[str, Any]:
    return model.manifest or {}


def _kept(model: ModelInfo, finding: Finding) -> dict[str, Any]:
    """What a run says of a model: all that stays the same when its service is started again.

    Of what it was trained on only what concerns the suite, because the list can be as long as the rest of the file.
    """
    described = model.model_dump(mode="json", exclude={"created", "object", "owned_by", "manifest"})
    manifest = {name: value for name, value in _manifest(model).items() if name != TRAINED_ON}
    if described["planner_label"] == "assistant":
        # Earlier versions do not tell it, and their files go on.
        del described["planner_label"]
    found = {"verdict": finding.verdict, "instructions": finding.instructions, "total": finding.total}
    return described | {"manifest": manifest or None, TRAINED_ON_SUITE: found}
