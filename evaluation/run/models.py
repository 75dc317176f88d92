"""Identify the evaluated models, and check their manifests for contamination with the suite's instructions.

Role services report their models. The details of an orchestrator's `/readyz` list their hosts and ports without a
scheme. The addresses of an orchestrator in another network may be unreachable from here: then the models are unknown
(`ModelsUnknown`), and the run may continue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from alpha_umi.client.errors import ServiceMismatch, TokenRefused, Unavailable
from alpha_umi.client.orchestrator import Readiness
from alpha_umi.client.retry import NO_RETRY
from alpha_umi.client.roles import RoleServices
from alpha_umi.contract.roles import ModelInfo
from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.turns import Role
from evaluation.errors import EvaluationError
from recordings.contamination import TRAINED_ON, TRAINED_ON_SUITE, Finding, check_manifest

ROLES_OF: Final[Mapping[Strategy, tuple[Role, ...]]] = {
    "chain": ("planner", "caller", "summarizer"),
    "dfsdt": ("planner", "caller", "summarizer"),
    "single": ("backbone",),
}
_ANSWER_TIMEOUT_S: Final = 10.0
# The token for a role service, if there is one that may be sent to it.
TokenOf = Callable[[Role, str], str | None]


class ModelsUnknown(EvaluationError):
    """The role services behind an orchestrator cannot be reached for their models."""


@dataclass(frozen=True)
class RoleModels:
    """The model of each role, and its contamination with a suite's instructions."""

    infos: Mapping[Role, ModelInfo]
    findings: Mapping[Role, Finding]

    def to_record(self) -> dict[Role, dict[str, Any]]:
        """The models as they are recorded in a run's header."""
        return {role: _record(model, self.findings[role]) for role, model in self.infos.items()}


async def fetch_models(services: RoleServices, strategy: Strategy, digests: frozenset[str]) -> RoleModels:
    """The models behind the services; `digests` are those of the suite's instructions.

    Raises `ClientError` for a service that is unavailable or plays another role, `EvaluationError` for a broken
    manifest.
    """
    infos = {role: await services.model(role) for role in ROLES_OF[strategy]}
    return RoleModels(infos, {role: check_manifest(_manifest(model), digests) for role, model in infos.items()})


async def discover_models(
    readiness: Readiness,
    strategy: Strategy,
    digests: frozenset[str],
    token_of: TokenOf = lambda role, url: None,
) -> RoleModels:
    """The models behind a ready orchestrator.

    Raises `ModelsUnknown`, and `NotTheFormat` for a broken manifest.
    """
    addresses = _addresses(readiness, strategy)
    if not addresses:
        raise ModelsUnknown("the orchestrator does not report the addresses of its role services")
    tokens = {token_of(role, url) for role, urls in addresses.items() for url in urls}
    # The client has one token for all services, and a token may be sent only to the services that it is for.
    if len(tokens) > 1:
        raise ModelsUnknown("only some of the role services run on this machine")
    try:
        async with RoleServices(
            addresses, token=tokens.pop(), retry=NO_RETRY, answer_timeout_s=_ANSWER_TIMEOUT_S
        ) as services:
            return await fetch_models(services, strategy, digests)
    except TokenRefused as error:
        raise ModelsUnknown(error.message, remedy=error.remedy) from error
    except (Unavailable, ServiceMismatch) as error:
        # Their remedies name options for service addresses, which do not exist here.
        raise ModelsUnknown(error.message) from error


def _addresses(readiness: Readiness, strategy: Strategy) -> Mapping[Role, tuple[str, ...]]:
    addresses = {
        role: tuple(f"http://{name}" for name in readiness.replicas.get(role, {})) for role in ROLES_OF[strategy]
    }
    return addresses if all(addresses.values()) else {}


def _manifest(model: ModelInfo) -> Mapping[str, Any]:
    return model.manifest or {}


def _record(model: ModelInfo, finding: Finding) -> dict[str, Any]:
    """The description of a model without fields that change when its service restarts.

    Its training data is reduced to the suite: the full list can be as long as the rest of the file.
    """
    record = model.model_dump(mode="json", exclude={"created", "object", "owned_by", "manifest"})
    if record["planner_label"] == "assistant":
        # Files of earlier versions, which can be resumed, do not have it.
        del record["planner_label"]
    if record["template_version"] == 1:
        del record["template_version"]
    if not record["hub"]:
        del record["hub"]
    manifest = {name: value for name, value in _manifest(model).items() if name != TRAINED_ON}
    suite = {"verdict": finding.verdict, "instructions": finding.instructions, "total": finding.total}
    return record | {"manifest": manifest or None, TRAINED_ON_SUITE: suite}
