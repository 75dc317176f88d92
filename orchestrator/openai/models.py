"""Models: the strategies of the orchestrator under the names that clients send as `model`."""

from __future__ import annotations

import time

from fastapi import APIRouter

from alpha_umi.contract.openai.models import MODELS, Model, ModelPage, RoleModel
from alpha_umi.contract.problems import ServiceError, refusal
from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.turns import Role
from alpha_umi.web.scopes import User
from orchestrator.assembly import Orchestrator

_ROLES: dict[Strategy, tuple[Role, ...]] = {
    "chain": ("planner", "caller", "summarizer"),
    "dfsdt": ("planner", "caller", "summarizer"),
    "single": ("backbone",),
}


class ModelNames:
    """The models of one orchestrator."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._contexts = orchestrator.contexts
        self._created = int(time.time())
        served = {
            name: strategy
            for name, strategy in MODELS.items()
            if strategy != "single" or orchestrator.settings.backbone_url
        }
        self._aliases = orchestrator.settings.model_aliases
        self._strategies = served | {alias: served[name] for alias, name in self._aliases.items()}

    def resolve(self, model: str | None) -> Strategy:
        """The strategy of a model. Raises `ServiceError` for a name that is missing or unknown."""
        listed = ", ".join(self._strategies)
        if model is None:
            raise refusal("model", "the request names no model", f"name one of {listed}")
        if model not in self._strategies:
            raise ServiceError(
                "model-not-found",
                f"there is no model {model[:100]!r}",
                field="model",
                remedy=f"name one of {listed}; the operator adds names with ALPHA_UMI_MODEL_ALIASES",
            )
        return self._strategies[model]

    async def page(self) -> ModelPage:
        """All models, aliases last."""
        return ModelPage(data=[await self.document(name) for name in self._strategies])

    async def document(self, name: str) -> Model:
        """One model. Raises `ServiceError`."""
        strategy = self.resolve(name)
        models = await self._contexts.models(_ROLES[strategy])
        distinct = {
            (role, model.name): RoleModel(role=role, id=model.name, max_model_len=model.context, source=model.source)
            for role, model in models
        }
        return Model(
            id=name,
            created=self._created,
            max_model_len=min((model.context for _, model in models), default=None),
            strategy=strategy,
            alias_of=self._aliases.get(name),
            role_models=list(distinct.values()),
        )


def create_router(orchestrator: Orchestrator) -> APIRouter:
    """Routes over one orchestrator."""
    router = APIRouter(tags=["models"])
    names = ModelNames(orchestrator)

    @router.get("/v1/models", summary="The strategies as models, for OpenAI's clients")
    async def models(_: User) -> ModelPage:
        return await names.page()

    @router.get("/v1/models/{model:path}", summary="One model")
    async def model(model: str, _: User) -> Model:
        return await names.document(model)

    return router
