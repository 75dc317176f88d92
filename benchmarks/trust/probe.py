"""Measures `/healthz` of one port until standard input ends, then writes the seconds of each answer.

    python -m benchmarks.trust.probe PORT

A process of its own: the load of the harness does not count as lag of the orchestrator.
"""

from __future__ import annotations

import http.client
import select
import sys
import time

PAUSE_S = 0.02
TIMEOUT_S = 60.0


def main(port: int) -> None:
    """Ask until the end of standard input. An answer that never comes counts as the time until it was given up."""
    seconds = []
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        started = time.monotonic()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            connection.close()
        except OSError:
            time.sleep(PAUSE_S)
        seconds.append(time.monotonic() - started)
    print(*seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]))
