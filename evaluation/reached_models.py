"""The models behind an orchestrator, where it tells the addresses of its role services and these answer us.

It tells them in the details of `/readyz`, without their scheme. An orchestrator in another network names addresses that
mean nothing here: then nothing is known of its models (`ModelsUnknown`), which need not keep anybody from asking it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.turns import Role
from evaluation.asked_models import AskedModels, models_of
from evaluation.errors import EvaluationError, ServiceAway
from evaluation.orchestrator import Readiness
from evaluation.patience import Patience
from evaluation.predicting import ROLES_OF
from evaluation.role_services import ServiceRefuses, WantsToken, role_services

_BRIEFLY = Patience(away_s=0, answer_s=10.0)
# The token for a role service, where it is ours to give.
TokenOf = Callable[[Role, str], str | None]


class ModelsUnknown(EvaluationError):
    """The role services cannot be asked for their models."""


async def reached_models(
    readiness: Readiness,
    strategy: Strategy,
    digests: frozenset[str],
    token_of: TokenOf = lambda role, url: None,
) -> AskedModels:
    """The models of the roles, which are asked instructions with these digests.

    Raises `ModelsUnknown`, and `NotTheFormat` for a broken manifest.
    """
    addresses = _addresses(readiness, strategy)
    if not addresses:
        raise ModelsUnknown("the orchestrator does not tell where its role services are")
    tokens = {token_of(role, url) for role, urls in addresses.items() for url in urls}
    # One token for all, or none: it is shown to nobody who is not to have it.
    if len(tokens) > 1:
        raise ModelsUnknown("only some of the role services are those that are up here")
    try:
        async with role_services(addresses, token=tokens.pop(), patience=_BRIEFLY) as services:
            return await models_of(services, strategy, digests)
    except WantsToken as error:
        raise ModelsUnknown(error.message, remedy=error.remedy) from error
    except (ServiceAway, ServiceRefuses) as error:
        # What else is to be done for a service is for those who name its address, which is not done here.
        raise ModelsUnknown(error.message) from error


def _addresses(readiness: Readiness, strategy: Strategy) -> Mapping[Role, tuple[str, ...]]:
    told = {role: tuple(f"http://{name}" for name in readiness.replicas.get(role, {})) for role in ROLES_OF[strategy]}
    return told if all(told.values()) else {}
