"""`python -m orchestrator`: serve until a signal. Exits with 2 and one line when it cannot start."""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import sys

import uvloop
from pydantic import ValidationError

from alpha_umi import telemetry
from alpha_umi.web.key_file import KeyFileUnusable
from alpha_umi.web.keys import OpenBindRefused, check_bind
from alpha_umi.web.server import PortTaken, create_server, open_socket
from orchestrator.app import create_app
from orchestrator.assembly import assembled
from orchestrator.settings import OrchestratorSettings, RenamedSetting, explain, require_current_names
from orchestrator.store import StoreError
from orchestrator.tools.errors import ToolSourceError
from orchestrator.tools.vault import SecretsKeyUnusable

EXIT_USAGE = 2
# Threshold of generation 0: allocations minus deallocations between two collections. The default is 700.
COLLECTED_EVERY = 50_000
# Of glibc's mallopt (malloc.h), and its first value, in bytes.
M_MMAP_THRESHOLD = -3
MMAP_THRESHOLD = 128 * 1024

_log = telemetry.logger(__name__)


def main() -> int:
    """Run the orchestrator; the exit status."""
    try:
        require_current_names(os.environ)
        settings = OrchestratorSettings()
        telemetry.configure_logs(service="orchestrator", form=settings.log_format, level=settings.log_level)
        telemetry.log_uncaught()
        check_bind(settings.host, settings.keyring(), variable="ALPHA_UMI_API_KEYS or ALPHA_UMI_API_KEYS_FILE")
        _tune_garbage_collector()
        _return_large_blocks()
        uvloop.run(_serve(settings, open_socket(settings.host, settings.port)))
    except ValidationError as error:
        return _refuse(explain(error))
    except (
        KeyFileUnusable,
        OpenBindRefused,
        PortTaken,
        RenamedSetting,
        SecretsKeyUnusable,
        StoreError,
        ToolSourceError,
    ) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}")
    return 0


def _tune_garbage_collector() -> None:
    """Collect cyclic garbage less often, and exclude the objects of the startup.

    Most objects belong to active trajectories and are freed by reference counting. With the default thresholds the
    collector takes a quarter of the CPU time at a hundred trajectories.
    """
    gc.freeze()
    gc.set_threshold(COLLECTED_EVERY, 20, 100)


def _return_large_blocks() -> None:
    """Let the C library give large blocks back to the system when they are freed.

    glibc raises the threshold when the first ones are freed: after that it keeps tens of megabytes of a large body.
    Other C libraries have no such function.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)


async def _serve(settings: OrchestratorSettings, listening: socket.socket) -> None:
    with listening:
        async with assembled(settings) as orchestrator:
            server = create_server(
                create_app(orchestrator),
                orchestrator.runs,
                max_connections=settings.max_connections,
                web_sockets=True,
            )
            _log.info("orchestrator.listening", host=settings.host, port=settings.port)
            await server.serve(sockets=[listening])


def _refuse(reason: str) -> int:
    print(f"orchestrator: {' '.join(reason.split())}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
