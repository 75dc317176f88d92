"""`python -m orchestrator`: serve until a signal. Exits with 2 and one line when it cannot start."""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from pydantic import ValidationError

from alpha_umi import telemetry
from alpha_umi.web.key_file import KeyFileUnusable
from alpha_umi.web.keys import OpenBindRefused, check_bind
from alpha_umi.web.server import PortTaken, create_server, end_with_exit_code, open_socket
from orchestrator.app import create_app
from orchestrator.assembly import assembled
from orchestrator.runs import Runs
from orchestrator.settings import OrchestratorSettings, explain
from orchestrator.store import StoreError
from orchestrator.tools.errors import ToolSourceError

EXIT_USAGE = 2
SIGNAL_POLL_S = 0.05

_log = telemetry.logger(__name__)


def main() -> int:
    """Run the orchestrator; the exit status."""
    try:
        settings = OrchestratorSettings()
        telemetry.configure_logs(service="orchestrator", form=settings.log_format, level=settings.log_level)
        telemetry.log_uncaught()
        check_bind(settings.host, settings.keyring(), variable="ALPHA_UMI_API_KEYS or ALPHA_UMI_API_KEYS_FILE")
        asyncio.run(_serve(settings, open_socket(settings.host, settings.port)))
    except ValidationError as error:
        return _refuse(explain(error))
    except (KeyFileUnusable, OpenBindRefused, PortTaken, StoreError, ToolSourceError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(f"cannot listen on {settings.host} port {settings.port}: {error.strerror}")
    return 0


async def _serve(settings: OrchestratorSettings, listening: socket.socket) -> None:
    with listening:
        async with assembled(settings) as orchestrator:
            server = create_server(create_app(orchestrator))
            _log.info("orchestrator.listening", host=settings.host, port=settings.port)
            watch = asyncio.create_task(_stop_with(server, orchestrator.runs))
            end_with_exit_code(server)
            await server.serve(sockets=[listening])
            watch.cancel()


async def _stop_with(server: uvicorn.Server, runs: Runs) -> None:
    """End streams and waiting requests as soon as the server was told to stop: it waits for them."""
    while not server.should_exit:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(SIGNAL_POLL_S)
    runs.begin_stop()


def _refuse(reason: str) -> int:
    print(f"orchestrator: {' '.join(reason.split())}", file=sys.stderr)
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
