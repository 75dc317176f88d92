"""One role's model and its life: loading, the canary, the watch over the engine.

Requests are answered only while the host is ready, and it is ready only after the canary: a fixed prompt whose answer
is known. An engine that computes wrongly (a number format that the processor does not have, damaged weights) writes
fluent nonsense and would otherwise go unnoticed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from alpha_umi.roles.template import PlannerLabel, Template
from alpha_umi.roles.turns import Role
from alpha_umi.serving.engine import Engine, EngineAway, EngineDead, Generation
from alpha_umi.serving.in_flight import InFlight
from alpha_umi.serving.manifest import ModelManifest

CANARY_TOKENS = 8
WATCH_INTERVAL_S = 0.25
AWAY_INTERVAL_S = 1.0

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Canary:
    """A prompt, and how the greedy answer of a right engine begins."""

    prompt: str
    expected: str


@dataclass(frozen=True)
class ServedModel:
    """What a service knows of its model: `name` for people, `template` for prompts, `canary` for readiness.

    `manifest` is that of the model's folder; a scripted model has none.
    """

    role: Role
    name: str
    template: Template
    canary: Canary
    planner_label: PlannerLabel = "assistant"
    manifest: ModelManifest | None = None


class RoleHost:
    """An engine with one role's model. `on_lost` is called once when the engine cannot be used (any more)."""

    def __init__(self, engine: Engine, model: ServedModel, *, on_lost: Callable[[], None] = lambda: None) -> None:
        self.engine = engine
        self.model = model
        self.in_flight = InFlight()
        self._on_lost = on_lost
        self._stopping = False
        self._judged = asyncio.Event()
        self._obstacle: ServiceError | None = ServiceError("engine-not-ready", "the model is being loaded")

    @contextlib.asynccontextmanager
    async def running(self, _: Any = None) -> AsyncIterator[None]:
        """Load in the background, watch, and release at the end (an application's lifespan)."""
        life = asyncio.create_task(self._live())
        try:
            yield
        finally:
            self.begin_stop()
            life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await life
            await self.engine.stop()

    async def readiness(self) -> dict[str, Any]:
        """What `/readyz` shows. Raises `ServiceError` while the model cannot answer."""
        self.require_ready()
        return {"model": self.model.name, "role": self.model.role, "template": self.model.template.name}

    async def wait_ready(self) -> None:
        """Wait for the canary. Raises `ServiceError` when it went wrong, and when the engine cannot be used."""
        await self._judged.wait()
        self.require_ready()

    def require_ready(self) -> None:
        """Raises `ServiceError`: still loading, canary failed, away, dead, or shutting down."""
        if self._stopping:
            raise _shutting_down()
        if self._obstacle is not None:
            # A new one for each: an exception keeps the frames, and so the requests, of everybody who raises it.
            raise ServiceError(self._obstacle.kind, self._obstacle.detail)

    def begin_stop(self) -> None:
        """Take no more requests. Whatever becomes of the engine from now on is no loss."""
        self._stopping = True

    def declare_dead(self, error: EngineDead) -> ServiceError:
        """Note that the engine has died; the error is what requests are answered with from now on."""
        if self._stopping:
            return _shutting_down()
        dead = ServiceError("engine-dead", f"{error}; the service is being replaced")
        if self._obstacle is None or self._obstacle.kind != "engine-dead":
            self._obstacle = dead
            self._judged.set()
            _log.error("engine.dead", detail=str(error))
            self._on_lost()
        return dead

    async def _live(self) -> None:
        try:
            while True:
                try:
                    await self._serve()
                except EngineAway as error:
                    self._wait_for_return(error)
                    await asyncio.sleep(AWAY_INTERVAL_S)
        except EngineDead as error:
            self.declare_dead(error)
        except Exception as error:
            if self._stopping:
                return
            _log.error("engine.unusable", exc_info=error)
            self._obstacle = ServiceError("engine-dead", "the model cannot be used; the service's log says why")
            self._judged.set()
            self._on_lost()

    async def _serve(self) -> None:
        """Load, sing and watch. What comes back after an absence may be another model, so it sings again."""
        await self.engine.start()
        self._obstacle = await self._sing()
        self._judged.set()
        while True:
            await self.engine.check()
            await asyncio.sleep(WATCH_INTERVAL_S)

    def _wait_for_return(self, error: EngineAway) -> None:
        if self._obstacle is None or self._obstacle.detail != str(error):
            _log.warning("engine.away", detail=str(error))
        self._obstacle = ServiceError("engine-not-ready", str(error))

    async def _sing(self) -> ServiceError | None:
        """Generate the canary; what it says against serving, if anything."""
        canary = self.model.canary
        generation = Generation(canary.prompt, max_tokens=CANARY_TOKENS)
        pieces = [chunk.text async for chunk in self.engine.generate(generation, request_id="canary")]
        written = "".join(pieces).strip()
        if written.startswith(canary.expected.strip()):
            _log.info("engine.ready", model=self.model.name, role=self.model.role)
            return None
        _log.error("engine.canary_failed", expected=canary.expected, written=written)
        return ServiceError(
            "engine-not-ready",
            f"the canary wrote {written!r} instead of {canary.expected!r}; check the weights, "
            "and the dtype against the processor (float32 is right everywhere)",
        )


def _shutting_down() -> ServiceError:
    return ServiceError("shutting-down", "the service is shutting down")
