"""`GET /v1/models`: what a client may name as `model`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from alpha_umi.contract.trajectories import Strategy
from alpha_umi.roles.turns import Role

# What each model name stands for.
MODELS: dict[str, Strategy] = {"alpha-umi": "chain", "alpha-umi-dfsdt": "dfsdt", "alpha-umi-single": "single"}


class RoleModel(BaseModel):
    """A role model behind a model. `source` is the origin of its weights, where its manifest names one."""

    role: Role
    id: str
    max_model_len: int
    source: str | None = None


class Model(BaseModel):
    """A strategy of the orchestrator as a model. `max_model_len` is the smallest context of its roles, in tokens.

    It is null, and `role_models` is empty, until the role services have answered.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "alpha-umi"
    max_model_len: int | None = None
    strategy: Strategy
    alias_of: str | None = None
    role_models: list[RoleModel] = []


class ModelPage(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]
