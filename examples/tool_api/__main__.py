"""`python -m examples.tool_api --host 127.0.0.1 --port 8010`"""

from __future__ import annotations

import argparse

import uvicorn

from examples.tool_api.app import create_app


def main() -> None:
    """Serve until a signal, on loopback unless told otherwise."""
    parser = argparse.ArgumentParser(prog="examples.tool_api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8010)
    parser.add_argument("--faults", action="store_true", help="allow faults to be switched on under POST /_faults")
    arguments = parser.parse_args()
    app = create_app(faults=arguments.faults)
    uvicorn.run(app, host=arguments.host, port=arguments.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
