"""Serve a computing tool to an orchestrator on this machine.

    python -m evaluation.replay python [PORT]        Python in a sandbox
    python -m evaluation.replay calculator [PORT]    a calculator

The tool server listens on loopback, at port 8010 unless another is named; its document is at /openapi.json.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import uvicorn
from fastapi import FastAPI

from evaluation.replay.servers import create_calculator_server, create_python_server

PORT = 8010
SERVERS: dict[str, Callable[[], FastAPI]] = {"python": create_python_server, "calculator": create_calculator_server}


def main(arguments: Sequence[str]) -> int:
    """Serve until the process is stopped. The exit status is 2 for an unknown tool or an invalid port."""
    name, port = (arguments[0] if arguments else ""), (arguments[1] if len(arguments) > 1 else str(PORT))
    if name not in SERVERS or not port.isdecimal() or not 0 < int(port) < 2**16 or len(arguments) > 2:
        print(__doc__, file=sys.stderr)
        return 2
    print(f"http://127.0.0.1:{port}/openapi.json", flush=True)
    uvicorn.run(SERVERS[name](), host="127.0.0.1", port=int(port), http="h11", log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
