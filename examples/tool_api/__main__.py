"""The command: `python -m examples.tool_api --host 127.0.0.1 --port 8010 [--faults [MODE]]`."""

from __future__ import annotations

import argparse
import signal
from typing import get_args

import uvicorn

from examples.tool_api.app import create_app
from examples.tool_api.faults import Fault, Mode, is_loopback


def main() -> None:
    """Serve until a signal, on loopback by default."""
    arguments = _arguments()
    faults = Fault(mode=arguments.faults) if arguments.faults else None
    config = uvicorn.Config(
        create_app(faults=faults),
        host=arguments.host,
        port=arguments.port,
        http="h11",
        log_level="warning",
        access_log=False,
    )
    server = uvicorn.Server(config)
    # uvicorn raises its stop signal again; a clean stop still exits with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)
    server.run()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.tool_api", description="Serve the example tool API.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8010, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--faults",
        nargs="?",
        const="none",
        choices=get_args(Mode),
        help="let POST /_faults make tools fail; with a mode, fail so from the start",
    )
    arguments = parser.parse_args()
    if arguments.faults and not is_loopback(arguments.host):
        parser.error(f"--faults is for loopback only; drop it, or --host {arguments.host}")
    return arguments


if __name__ == "__main__":
    main()
