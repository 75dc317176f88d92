"""vLLM's own server as a child process: a completions server that is not part of this project.

The module behind `vllm serve` is started directly: the command requires a distribution named "vllm", and the CPU build
has another name.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from support.orchestrator_process import free_port

KEY = "server-key"
_ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
_PR_SET_PDEATHSIG = 1


@contextlib.contextmanager
def vllm_server(model: Path, name: str, *options: str, context: int, log: Path) -> Iterator[str]:
    """The base address of a server with one model, ready; its whole process group is gone when the block ends."""
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_command(model, name, port, context), *options],
            env={**os.environ, **_ENVIRONMENT},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _command(model: Path, name: str, port: int, context: int) -> Sequence[str]:
    server = (sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model))
    listen = ("--host", "127.0.0.1", "--port", str(port), "--api-key", KEY, "--enable-prompt-tokens-details")
    memory = ("--max-model-len", str(context), "--kv-cache-memory-bytes", str(2**28), "--dtype", "float32")
    constraints = ("--structured-outputs-config.backend", "guidance")
    # As in `alpha_umi.serving.vllm_engine`.
    unchunked_prefill = "--no-enable-chunked-prefill"
    return *server, *constraints, "--served-model-name", name, *listen, *memory, "--enforce-eager", unchunked_prefill


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path, *, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/health").status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"vLLM's server is not ready: {log.read_text(errors='replace')[-4_000:]}")
