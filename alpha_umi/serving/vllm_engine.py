"""vLLM in this process: the only module, with `vllm_worker`, that imports vllm.

The engine is a child process that vLLM starts (`parent_death` kills it when this process dies). It is created in a
separate thread, so that the HTTP server answers while a model loads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from alpha_umi import telemetry
from alpha_umi.roles.template import AnyPrompt
from alpha_umi.serving.engine import (
    Choices,
    Chunk,
    EngineDead,
    EngineRefused,
    EngineStats,
    Generation,
    Grammar,
    require_adapter,
)
from alpha_umi.serving.processor import Dtype, available_cores, choose_dtype, engine_threads, read_cpu_flags
from alpha_umi.serving.tokens import PromptTokenizer

GIB = 2**30
# For the engine process to exit; vLLM's default of five seconds and the drain would exceed ten.
SHUTDOWN_S = 3.0
# The last two to four tokens are looked up in prompt and text; the four that follow the match are proposed.
NGRAM = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_min": 2, "prompt_lookup_max": 4}
CPU_WORKER = "alpha_umi.serving.vllm_worker.CpuWorker"
# The LoRA ranks that vLLM supports.
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


Speculation = Literal["auto", "ngram", "off"]


@dataclass(frozen=True)
class VllmOptions:
    """How to load a model.

    `context` is the tokens of prompt and answer together; `kv_cache_gib` the size of the KV cache on a CPU;
    `gpu_memory_utilization` the share of a GPU's memory; `threads` the number of CPU threads (None: `engine_threads`).
    `adapters` are folders of LoRA adapters in peft's format, by adapter name. `speculation` "auto" is "ngram" on a CPU
    without adapters. `load_format` "dummy" uses random weights, for benchmarks.
    """

    model: Path
    context: int
    dtype: Dtype = "auto"
    kv_cache_gib: float = 1.0
    gpu_memory_utilization: float = 0.9
    threads: int | None = None
    adapters: Mapping[str, Path] = field(default_factory=dict)
    load_format: Literal["safetensors", "dummy"] = "safetensors"
    speculation: Speculation = "auto"


class VllmEngine:
    """The engine port on vLLM's `AsyncLLM`."""

    def __init__(self, options: VllmOptions) -> None:
        self._options = options
        self._tokenizer = PromptTokenizer(options.model)
        self._llm: Any = None
        self._stats = EngineStats()
        self._adapters: dict[str, Any] = {}
        self._owner: threading.Thread | None = None
        self._released = threading.Event()

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self._options.context

    @property
    def capacity(self) -> int | None:
        """The sequences of vLLM's batch, or those that its KV cache holds; None before the model is loaded.

        A sequence is assumed to fill a quarter of the context. Where several are longer, vLLM preempts some.
        """
        if self._llm is None:
            return None
        config = self._llm.vllm_config
        batch: int = config.scheduler_config.max_num_seqs
        tokens: int | None = config.cache_config.kv_cache_size_tokens
        return batch if tokens is None else max(1, min(batch, tokens * 4 // self._options.context))

    async def start(self) -> None:
        """Load the model and its adapters. Raises what vLLM raises."""
        loop = asyncio.get_running_loop()
        made: asyncio.Future[Any] = loop.create_future()

        def own_engine(loaded: asyncio.Future[Any]) -> None:
            # The engine process dies with the thread that started it (PR_SET_PDEATHSIG), so the thread stays.
            try:
                llm = _create(self._options, self._note)
            except BaseException as error:
                _call_in_loop(loop, _fail, loaded, error)
            else:
                _call_in_loop(loop, _resolve, loaded, llm)
                # vLLM references this frame for ever, and would keep the engine with it.
                del llm, loaded
                self._released.wait()

        self._owner = threading.Thread(target=own_engine, args=(made,), name="engine-owner", daemon=True)
        self._owner.start()
        self._llm = await made
        self._adapters = _lora_requests(self._options.adapters)
        for adapter in self._adapters.values():
            # At the start rather than with the first request, so that an adapter that does not fit is detected here.
            await self._llm.add_lora(adapter)

    async def stop(self) -> None:
        """End the engine process."""
        llm, self._llm = self._llm, None
        if llm is not None:
            # In this thread, so that no output is awaited between the end of the engine and that of its reader.
            llm.shutdown(timeout=SHUTDOWN_S)
        self._released.set()
        # A loading model is not awaited: its engine dies with this process.
        if llm is not None and self._owner is not None:
            self._owner.join()

    async def check(self) -> None:
        """Raises `EngineDead` when the engine process has died."""
        if self._llm is None or self._llm.errored:
            raise EngineDead("the engine process is gone")

    def stats(self) -> EngineStats:
        """The engine's load after its last step."""
        return self._stats

    def _note(self, scheduler: Any) -> None:
        """Add vLLM's `SchedulerStats` of one step; prefix cache and speculation have the numbers of the step."""
        drafts = scheduler.spec_decoding_stats
        self._stats = replace(
            self._stats,
            running=scheduler.num_running_reqs,
            waiting=scheduler.num_waiting_reqs + scheduler.num_skipped_waiting_reqs,
            kv_cache_usage=scheduler.kv_cache_usage,
            queried_tokens=self._stats.queried_tokens + scheduler.prefix_cache_stats.queries,
            hit_tokens=self._stats.hit_tokens + scheduler.prefix_cache_stats.hits,
            proposed_tokens=self._stats.proposed_tokens + (drafts.num_draft_tokens if drafts else 0),
            accepted_tokens=self._stats.accepted_tokens + (drafts.num_accepted_tokens if drafts else 0),
        )

    def count_tokens(self, prompt: AnyPrompt | str) -> int:
        """Number of tokens of a prompt, as `generate` sends it."""
        return len(self._tokenizer.encode(prompt))

    async def reset_prefix_cache(self) -> None:
        """Clear the prefix cache, for benchmarks: only speed depends on it."""
        await self._llm.reset_prefix_cache()

    def text_of(self, prompt: AnyPrompt | str) -> str:
        """The text that the model reads."""
        return self._tokenizer.text_of(prompt)

    async def generate(self, generation: Generation, *, request_id: str) -> AsyncIterator[Chunk]:
        """Generate; closing the iterator aborts the request in the engine."""
        from vllm.exceptions import VLLMError
        from vllm.inputs import TokensPrompt
        from vllm.v1.engine.exceptions import EngineDeadError

        require_adapter(generation, self._options.adapters)
        await self.check()
        ids = self._tokenizer.encode(generation.prompt, generation.continuation)
        outputs = self._llm.generate(
            TokensPrompt(prompt_token_ids=ids),
            _sampling_params(generation),
            request_id=request_id,
            lora_request=None if generation.adapter is None else self._adapters[generation.adapter],
        )
        completion_tokens = 0
        try:
            async for output in outputs:
                piece = output.outputs[0]
                completion_tokens += len(piece.token_ids)
                yield Chunk(
                    text=piece.text,
                    prompt_tokens=len(ids),
                    completion_tokens=completion_tokens,
                    cached_tokens=output.num_cached_tokens or 0,
                    finish_reason=_finish_reason(piece.finish_reason),
                )
        except EngineDeadError as error:
            raise EngineDead("the engine process died while it generated") from error
        except (VLLMError, ValueError) as error:
            raise EngineRefused(str(error)) from error
        finally:
            await outputs.aclose()


def _create(options: VllmOptions, note: Callable[[Any], None]) -> Any:
    # vLLM reads these on import: no extra worker process on a CPU, no usage reports.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM

    gpu = not current_platform.is_cpu()
    threads = options.threads or (None if gpu else engine_threads(available_cores()))
    if threads is not None:
        # The engine process reads both. Numba, which compiles `NGRAM`, would set OpenMP's threads to its own number.
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"].partition(",")[0]
    memory = (
        {"gpu_memory_utilization": options.gpu_memory_utilization}
        if gpu
        # The prefix cache stores complete blocks; vLLM's default of 128 on a CPU would lose up to 127 tokens.
        else {"kv_cache_memory_bytes": int(options.kv_cache_gib * GIB), "block_size": 32}
    )
    arguments = AsyncEngineArgs(
        model=str(options.model),
        dtype=choose_dtype(options.dtype, gpu=gpu, cpu_flags=read_cpu_flags()),
        max_model_len=options.context,
        load_format=options.load_format,
        trust_remote_code=False,
        enforce_eager=not gpu,
        # No chunked prefill on a CPU: vLLM would rewind the random generator of a seeded request after a partial
        # prefill, which torch cannot do on a CPU, and the engine would die with all of its requests.
        enable_chunked_prefill=gpu,
        enable_prefix_caching=True,
        structured_outputs_config={"backend": "guidance"},
        disable_log_stats=True,
        # Progress bars are not log lines.
        use_tqdm_on_load=False,
        **_speculation_arguments(options, gpu=gpu),
        **memory,
        **_adapter_arguments(options.adapters),
    )
    with _logging_config() as logging_config:
        arguments.logging_config = logging_config
        return AsyncLLM.from_engine_args(arguments, stat_loggers=[_stat_logger(note)])


def _speculation_arguments(options: VllmOptions, *, gpu: bool) -> dict[str, Any]:
    """On a GPU and with adapters it was not measured, so there "auto" is "off"."""
    if options.speculation == "off" or (options.speculation == "auto" and (gpu or options.adapters)):
        return {}
    return {"speculative_config": dict(NGRAM)} | ({} if gpu else {"worker_cls": CPU_WORKER})


@contextlib.contextmanager
def _logging_config() -> Iterator[Any]:
    """vLLM's logging configuration, in this service's log format. Its processes read a file while they start."""
    from vllm.config.logging import LoggingConfig

    logging_config = telemetry.child_logging_config()
    if logging_config is None:
        yield LoggingConfig()
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(logging_config, file)
        file.flush()
        yield LoggingConfig(pylogging_config_file=file.name)


def _stat_logger(note: Callable[[Any], None]) -> Any:
    """A class of vLLM stat loggers that passes each step's scheduler statistics to `note`.

    It derives from vLLM's Prometheus logger because vLLM adds one, with the process-wide registry, if there is none.
    """
    from vllm.v1.metrics.loggers import PrometheusStatLogger

    class StatLogger(PrometheusStatLogger):  # type: ignore[misc]
        def __init__(self, vllm_config: Any, engine_indexes: Any = None) -> None:
            """Register nothing."""

        def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
            if scheduler_stats is not None:
                note(scheduler_stats)

        def record_admission_rejection(self, reason: str) -> None:
            pass

        def record_sleep_state(self, sleep: int = 0, level: int = 0) -> None:
            pass

        def log_engine_initialized(self) -> None:
            pass

    return StatLogger


def _adapter_arguments(adapters: Mapping[str, Path]) -> dict[str, Any]:
    """Engine arguments that keep every adapter loaded. Raises `ValueError` for a rank that vLLM does not support."""
    if not adapters:
        return {}
    highest = max(map(_rank, adapters.values()))
    rank = next((rank for rank in LORA_RANKS if rank >= highest), None)
    if rank is None:
        raise ValueError(f"an adapter has rank {highest}; vLLM serves ranks up to {LORA_RANKS[-1]}")
    return {"enable_lora": True, "max_loras": len(adapters), "max_lora_rank": rank}


def _rank(adapter: Path) -> int:
    config = json.loads((adapter / "adapter_config.json").read_bytes())
    ranks: list[int] = [config["r"], *(config.get("rank_pattern") or {}).values()]
    return max(ranks)


def _lora_requests(adapters: Mapping[str, Path]) -> dict[str, Any]:
    from vllm.lora.request import LoRARequest

    return {name: LoRARequest(name, number, str(path)) for number, (name, path) in enumerate(adapters.items(), start=1)}


def _sampling_params(generation: Generation) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    match generation.constraint:
        case None:
            structured = None
        case Choices(texts):
            structured = StructuredOutputsParams(choice=list(texts))
        case Grammar(lark):
            structured = StructuredOutputsParams(grammar=lark)
    return SamplingParams(
        max_tokens=generation.max_tokens,
        temperature=generation.temperature,
        top_p=generation.top_p,
        seed=generation.seed,
        stop=list(generation.stop),
        include_stop_str_in_output=True,
        structured_outputs=structured,
        output_kind=RequestOutputKind.DELTA,
    )


def _finish_reason(reason: str | None) -> Any:
    return "stop" if reason in ("stop", "repetition") else reason


def _call_in_loop(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *arguments: Any) -> None:
    # The loop is closed if the process stopped while the model was loading.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what, *arguments)


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
