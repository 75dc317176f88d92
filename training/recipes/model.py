"""Recipes. A variant is a list of stages; a config has the hyper-parameters of one backbone.

A stage names its settings in the config (`settings: global`), so that a variant works with every backbone. It may
override single numbers. Unknown fields are refused.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from alpha_umi.roles.template import load_template
from alpha_umi.roles.turns import Role

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
# The instructions of a stage. The halves are disjoint, and the same for every stage and run.
Instructions = Literal["all", "first-half", "second-half"]
BACKBONE = "backbone"
# Default size of a micro-batch in tokens. On a CPU larger trees save little more, and need more memory.
MICRO_TOKENS = {"cpu": 4_096, "cuda": 16_384}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageSettings(_Strict):
    """The numbers of a stage. `batch` counts examples a step over all processes, `warmup` is a share of the steps.
    `epochs` may be a fraction, for a random part of the examples.

    With `pack`, the examples of so many trajectories of one tool set are in the same step (`StepPlan`).
    """

    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    batch: Annotated[int, Field(ge=1)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    pack: Annotated[int, Field(ge=1)] | None = None


class Override(_Strict):
    """Settings of a stage that replace those of the config."""

    learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    batch: Annotated[int, Field(ge=1)] | None = None
    warmup: Annotated[float, Field(ge=0, lt=1)] | None = None
    schedule: Literal["cosine", "linear", "constant"] | None = None
    pack: Annotated[int, Field(ge=1)] | None = None


class Stage(_Strict):
    """One fine-tuning: its initial model, the roles of its examples, and the roles that its model serves."""

    name: Name
    start: Annotated[Name, Field(alias="from")] = BACKBONE
    data: Annotated[tuple[Role, ...], Field(min_length=1)]
    settings: Name
    instructions: Instructions = "all"
    serves: tuple[Role, ...] = ()
    override: Override = Override()

    @field_validator("data", "serves")
    @classmethod
    def _once_each(cls, roles: tuple[Role, ...]) -> tuple[Role, ...]:
        if len(set(roles)) != len(roles):
            raise ValueError("repeats a role")
        return roles


class Variant(_Strict):
    """The stages of a variant, each after those that it starts from."""

    name: Name
    about: str
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _validate_stages(self) -> Self:
        known = {BACKBONE}
        for stage in self.stages:
            if stage.name in known:
                raise ValueError(f"stages: {stage.name!r} is repeated, or is the name of the backbone")
            if stage.start not in known:
                raise ValueError(f"stages: {stage.name} is from {stage.start!r}; known before it: {sorted(known)}")
            known.add(stage.name)
        served = [role for stage in self.stages for role in stage.serves]
        if not served or len(set(served)) != len(served):
            raise ValueError("stages: each role that is served needs exactly one stage that serves it")
        return self


class Lora(_Strict):
    """A LoRA adapter on these linear layers; the update is scaled by alpha / rank."""

    rank: Annotated[int, Field(ge=1, le=512)]
    alpha: Annotated[int, Field(ge=1)]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    layers: Literal["all-linear"] | tuple[str, ...] = "all-linear"


class Config(_Strict):
    """The hyper-parameters of one backbone.

    `backbone` is `smollm2-135m-instruct` (the embedded model), a folder or a hub id. Without `lora`, training is full.
    `context` counts the tokens of prompt and target; longer examples are refused. `micro_tokens` bounds what one
    process computes at a time, padding included, and changes memory, not results (`auto`: `MICRO_TOKENS`).
    `prefixes` are the common prefixes of a step's examples: computed once, with attention in `blocks` or by `flex`
    (FlexAttention, on a GPU), or `repeated` for each example. `auto` repeats them with LoRA's dropout, whose draws
    examples would share, and otherwise chooses by the device.
    `parallel` is how several processes train: `replicate` the model, or `shard` weights, gradients and optimizer (ZeRO
    stage 3), with torch or with `deepspeed`.
    """

    name: Name
    about: str
    backbone: str
    template: str
    context: Annotated[int, Field(ge=64)]
    lora: Lora | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bf16"] = "auto"
    parallel: Literal["replicate", "shard", "deepspeed"] = "replicate"
    checkpoint_activations: bool = False
    micro_tokens: Annotated[int, Field(ge=64)] | Literal["auto"] = "auto"
    prefixes: Literal["auto", "blocks", "flex", "repeated"] = "auto"
    clip: Annotated[float, Field(gt=0)] = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    checkpoint_every: Annotated[int, Field(ge=1)] = 100
    keep_checkpoints: Annotated[int, Field(ge=1)] = 2
    evaluate_every: Annotated[int, Field(ge=1)] = 100
    dev_examples: Annotated[int, Field(ge=1)] = 200
    settings: Annotated[dict[Name, StageSettings], Field(min_length=1)]

    @field_validator("template")
    @classmethod
    def _known(cls, name: str) -> str:
        load_template(name)
        return name


def numbers(stage: Stage, config: Config) -> StageSettings:
    """The settings of a stage: those of the config with the stage's overrides. Raises `KeyError` if there are none."""
    settings = config.settings[stage.settings]
    return settings.model_copy(update=stage.override.model_dump(exclude_none=True))
