"""One role's model: loading, the canary, the watch over the engine, and the requests in flight.

The host answers requests only while it is ready, and it becomes ready only after the canary: a fixed prompt with a
known answer. An engine that computes wrongly (a number format that the processor lacks, damaged weights) generates
fluent nonsense, which nothing else would detect.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from alpha_umi import telemetry
from alpha_umi.contract.problems import ServiceError
from alpha_umi.roles.template import AnyPrompt, AnyTemplate, ChatPrompt, Message, PlannerLabel
from alpha_umi.roles.turns import Role
from alpha_umi.serving.engine import Engine, EngineDead, EngineUnavailable, Generation
from alpha_umi.serving.manifest import ModelManifest

WATCH_INTERVAL_S = 0.25
RETRY_INTERVAL_S = 1.0

_log = telemetry.logger(__name__)


@dataclass(frozen=True)
class Canary:
    """A prompt, and how the greedy answer of a correct engine begins; `anywhere`: what the answer contains."""

    prompt: AnyPrompt | str
    expected: str
    anywhere: bool = False
    tokens: int = 8

    def fits(self, answer: str) -> bool:
        """Whether an answer is that of a correct engine."""
        written, expected = answer.strip(), self.expected.strip()
        return expected.lower() in written.lower() if self.anywhere else written.startswith(expected)


# For a model of which nothing is recorded: every instruct model knows it, in whatever words.
CHAT_CANARY = Canary(
    ChatPrompt((Message("system", "Answer in one short sentence."), Message("user", "What is the capital of France?"))),
    "Paris",
    anywhere=True,
    tokens=32,
)


@dataclass(frozen=True)
class ServedModel:
    """The model of a service: its display name, prompt template and canary.

    `manifest` is that of the model's folder; a scripted model has none, nor has one that is served as it is. `hub`:
    what comes from a hub, as `org/name@commit`. `thinking`: what the model thinks before its answer is shown as text.
    """

    role: Role
    name: str
    template: AnyTemplate
    canary: Canary
    planner_label: PlannerLabel = "assistant"
    manifest: ModelManifest | None = None
    hub: tuple[str, ...] = ()
    thinking: bool = False


class RoleHost:
    """An engine with one role's model. `on_lost` is called once when the engine is unusable or has died."""

    def __init__(self, engine: Engine, model: ServedModel, *, on_lost: Callable[[], None] = lambda: None) -> None:
        self.engine = engine
        self.model = model
        self.in_flight = InFlight()
        self._on_lost = on_lost
        self._stopping = False
        self._canary_done = asyncio.Event()
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
        """The document of `/readyz`. Raises `ServiceError` while the model cannot answer."""
        self.require_ready()
        return {"model": self.model.name, "role": self.model.role, "template": self.model.template.name}

    async def wait_ready(self) -> None:
        """Wait for the canary. Raises `ServiceError` if it failed, or if the engine is unusable."""
        await self._canary_done.wait()
        self.require_ready()

    def require_ready(self) -> None:
        """Raises `ServiceError`: loading, canary failed, engine unavailable or dead, or shutting down."""
        if self._stopping:
            raise _shutting_down()
        if self._obstacle is not None:
            # A new exception each time: an exception references the frames, and so the requests, that raised it.
            raise ServiceError(self._obstacle.kind, self._obstacle.detail)

    def begin_stop(self) -> None:
        """Refuse requests from now on. The end of the engine is no loss any more."""
        self._stopping = True

    def declare_dead(self, error: EngineDead) -> ServiceError:
        """Record that the engine has died. Returns the error that requests get from now on."""
        if self._stopping:
            return _shutting_down()
        dead = ServiceError("engine-dead", f"{error}; the service is being replaced")
        if self._obstacle is None or self._obstacle.kind != "engine-dead":
            self._obstacle = dead
            self._canary_done.set()
            _log.error("engine.dead", detail=str(error))
            self._on_lost()
        return dead

    async def _live(self) -> None:
        try:
            while True:
                try:
                    await self._serve()
                except EngineUnavailable as error:
                    self._note_unavailable(error)
                    await asyncio.sleep(RETRY_INTERVAL_S)
        except EngineDead as error:
            self.declare_dead(error)
        except Exception as error:
            if self._stopping:
                return
            _log.error("engine.unusable", exc_info=error)
            self._obstacle = ServiceError("engine-dead", "the model cannot be used; see the service's log")
            self._canary_done.set()
            self._on_lost()

    async def _serve(self) -> None:
        """Load, run the canary and watch. A server that returns may run another model, so the canary runs again."""
        await self.engine.start()
        self._obstacle = await self._run_canary()
        self._canary_done.set()
        while True:
            await self.engine.check()
            await asyncio.sleep(WATCH_INTERVAL_S)

    def _note_unavailable(self, error: EngineUnavailable) -> None:
        if self._obstacle is None or self._obstacle.detail != str(error):
            _log.warning("engine.unavailable", detail=str(error))
        self._obstacle = ServiceError("engine-not-ready", str(error))

    async def _run_canary(self) -> ServiceError | None:
        """Generate the canary's answer. Returns the obstacle to serving, or None."""
        canary = self.model.canary
        generation = Generation(canary.prompt, max_tokens=canary.tokens)
        pieces = [chunk.text async for chunk in self.engine.generate(generation, request_id="canary")]
        written = "".join(pieces).strip()
        if canary.fits(written):
            _log.info("engine.ready", model=self.model.name, role=self.model.role, hub=list(self.model.hub))
            return None
        _log.error("engine.canary_failed", expected=canary.expected, written=written)
        return ServiceError(
            "engine-not-ready",
            f"the canary wrote {written!r} instead of {canary.expected!r}; check the weights, "
            "and the dtype against the processor (float32 is right everywhere)",
        )


def _shutting_down() -> ServiceError:
    return ServiceError("shutting-down", "the service is shutting down")


class InFlight:
    """Counts the requests in flight, and cancels their waits for the model when they are cut off."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()
        self._none.set()
        self._waits: set[asyncio.Timeout] = set()
        self._cut = False

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """One request, from its start to the end of its answer."""
        self.count += 1
        self._none.clear()
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                self._none.set()

    @contextlib.asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """One wait for the model. Raises `ServiceError` when requests are cut off."""
        limit = asyncio.timeout(0 if self._cut else None)
        try:
            async with limit:
                self._waits.add(limit)
                try:
                    yield
                finally:
                    self._waits.discard(limit)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ServiceError("shutting-down", "the service ended before the answer was complete") from error

    async def ended(self, *, within_s: float) -> bool:
        """Wait until there is no request. Returns False after `within_s` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._none.wait()
        return not self.count

    def cut_off(self) -> None:
        """Cancel every wait for the model, now and from now on."""
        if self._cut:
            return
        self._cut = True
        for limit in list(self._waits):
            limit.reschedule(asyncio.get_running_loop().time())
