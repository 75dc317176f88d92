"""Builds an orchestrator from its settings, and closes its parts in the right order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from alpha_umi.roles.turns import Role
from orchestrator.admission.admission import Admission
from orchestrator.admission.rates import Rates
from orchestrator.admission.running_capacity import RunningCapacity
from orchestrator.admission.stored_rates import stored_rates
from orchestrator.failpoints import Failpoints
from orchestrator.log import LogWriter, stored_body
from orchestrator.metrics import OrchestratorMetrics
from orchestrator.monitoring import Readiness, StateCollector
from orchestrator.openai.conversations import Conversations
from orchestrator.openai.deletion import ResponseDeletion
from orchestrator.retention import Retention
from orchestrator.roles.calls import RoleCalls
from orchestrator.roles.contexts import RoleContexts
from orchestrator.roles.replicas import ReplicaSet, role_replicas
from orchestrator.runs.driver import DriverDependencies
from orchestrator.runs.executor import EffectExecutor
from orchestrator.runs.idempotency import IdempotencyStore
from orchestrator.runs.manager import RunManager
from orchestrator.runs.messages import ClientTurns
from orchestrator.runs.offer import ToolOffers
from orchestrator.runs.recovery import Recovery
from orchestrator.runs.views import TrajectoryViews
from orchestrator.settings import OrchestratorSettings
from orchestrator.store import EventStore, open_store
from orchestrator.stream.slots import StreamSlots
from orchestrator.tools.call_limits import CallLimits
from orchestrator.tools.egress import Egress
from orchestrator.tools.registry import ToolRegistry
from orchestrator.tools.sources import ToolSources
from orchestrator.tools.sources_file import load_sources_file
from orchestrator.tools.tool_sets import ToolSets
from orchestrator.tools.vault import Vault


@dataclass(frozen=True)
class Orchestrator:
    """The parts that the HTTP routes use."""

    settings: OrchestratorSettings
    store: EventStore
    registry: ToolRegistry
    sources: ToolSources
    tool_sets: ToolSets
    contexts: RoleContexts
    runs: RunManager
    views: TrajectoryViews
    streams: StreamSlots
    admission: Admission
    client_turns: ClientTurns
    conversations: Conversations
    request_keys: IdempotencyStore
    metrics: OrchestratorMetrics
    readiness: Readiness
    retention: Retention
    response_deletion: ResponseDeletion


@contextlib.asynccontextmanager
async def assembled(settings: OrchestratorSettings) -> AsyncIterator[Orchestrator]:
    """A running orchestrator; it loads its tool sources and resumes unfinished trajectories in the background.

    Raises `StoreError`, `ToolSourceError` or `SecretsKeyUnusable` when the database, the file of tool sources or the
    keys of stored credentials cannot be used.
    """
    from_file = [] if settings.tool_sources is None else load_sources_file(settings.tool_sources)
    vault = Vault([key.get_secret_value() for key in settings.secrets_key], settings.secrets_key_file)
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings.database_url))
        egress = await stack.enter_async_context(_egress(settings))
        registry = ToolRegistry(egress)
        stack.push_async_callback(registry.aclose)
        limits = {"max_sources": settings.max_sources, "max_tools": settings.max_source_tools}
        sources = ToolSources(registry, store, from_file=from_file, vault=vault, **limits)
        stack.push_async_callback(sources.aclose)
        metrics = OrchestratorMetrics()
        roles = await stack.enter_async_context(role_replicas(settings.role_addresses(), settings.role_bearer, metrics))
        store.observe_commits(metrics.count_commit)
        log_writer = LogWriter(store, metrics)
        rates = settings.rates()
        await stack.enter_async_context(stored_rates(rates, store, log_writer.now))
        contexts = RoleContexts(roles)
        dependencies = _driver_dependencies(settings, roles, contexts, registry, store, log_writer, metrics, rates)
        tool_sets = ToolSets(store)
        runs = RunManager(
            store,
            dependencies,
            tool_sets=tool_sets,
            wait_for_sources=sources.wait_for,
            capacity=RunningCapacity(
                dependencies.gate,
                lambda: settings.running_bounds(map(dependencies.executor.calls.capacity_of, roles)),
            ),
        )
        stack.push_async_callback(runs.drain)
        metrics.registry.register(StateCollector(runs, log_writer, sources))
        await sources.start()
        recovery = Recovery(store, runs, metrics)
        stack.push_async_callback(recovery.aclose)
        recovery.start()
        retention = Retention(
            store,
            after=settings.retention,
            export=settings.retention_export,
            sets_in_use=tool_sets.in_use,
            now=log_writer.now,
            metrics=metrics,
        )
        pruning = asyncio.create_task(retention.run(), name="retention")
        stack.callback(pruning.cancel)
        deletion = ResponseDeletion(store, runs, retention)
        deleting = asyncio.create_task(deletion.run(), name="response deletion")
        stack.callback(deleting.cancel)
        admission = Admission(dependencies.gate, runs, settings.queue_limits(), rates, metrics)
        yield Orchestrator(
            settings=settings,
            store=store,
            registry=registry,
            sources=sources,
            tool_sets=tool_sets,
            contexts=contexts,
            runs=runs,
            views=TrajectoryViews(store, runs),
            streams=StreamSlots(**settings.stream_limits(), metrics=metrics),
            admission=admission,
            client_turns=ClientTurns(store, runs),
            conversations=Conversations(store),
            request_keys=IdempotencyStore(store, runs, admission, after_outage=settings.repeated_after_outage),
            metrics=metrics,
            retention=retention,
            response_deletion=deletion,
            readiness=Readiness(runs, store, log_writer, roles, constrained=settings.constrained),
        )


def _egress(settings: OrchestratorSettings) -> Egress:
    limits = CallLimits(
        per_tool=settings.calls_per_tool, per_source=settings.calls_per_source, per_host=settings.calls_per_host
    )
    return Egress(
        allow_loopback=settings.allow_loopback_tools, private_hosts=settings.allowed_tool_hosts, limits=limits
    )


def _driver_dependencies(
    settings: OrchestratorSettings,
    roles: dict[Role, ReplicaSet],
    contexts: RoleContexts,
    registry: ToolRegistry,
    store: EventStore,
    log_writer: LogWriter,
    metrics: OrchestratorMetrics,
    rates: Rates,
) -> DriverDependencies:
    failpoints = Failpoints(settings.failpoint)
    executor = EffectExecutor(
        calls=RoleCalls(roles, settings.role_timeout_s, metrics, failpoints, capacity=settings.role_calls),
        registry=registry,
        metrics=metrics,
        failpoints=failpoints,
        offers=ToolOffers(contexts, settings.retrieve_tools, settings.retrieve_above),
        stored_body=partial(stored_body, store),
        tool_timeout_s=settings.tool_timeout_s,
        constrained=settings.constrained,
        max_answer_bytes=settings.max_answer_bytes,
    )
    return DriverDependencies(
        log_writer,
        executor,
        failpoints,
        settings.trajectory_timeout_s,
        settings.client_tool_timeout_s,
        rates=rates,
    )
