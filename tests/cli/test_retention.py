"""`alpha-umi prune`: the options become one request, which is repeated until nothing is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

Invoke = Callable[..., Any]


def test_batches_are_deleted_until_nothing_is_left(invoke: Invoke) -> None:
    bodies: list[dict[str, Any]] = []

    class Orchestrator(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            last = len(bodies) == 2
            answer = json.dumps({"deleted": 3 if last else 50, "has_more": not last, "unreadable": ["traj_1"]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Orchestrator) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        result = invoke("prune", "--older-than", "2d", "--status", "failed", "--all-owners", "--url", url)
        server.shutdown()
    assert result.exit_code == 0, result.output
    assert "deleted 53 trajectories" in result.stderr
    assert "not deleted, because they cannot be read and exported: traj_1." in " ".join(result.stderr.split())
    assert bodies == [{"older_than_s": 172_800.0, "status": ["failed"], "all_owners": True}] * 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--older-than", "old"], "--older-than: 'old' is not a duration"),
        (["--older-than", "1d", "--status", "gone"], "--status: 'gone' is not a status"),
    ],
)
def test_what_is_not_understood_is_refused(invoke: Invoke, arguments: list[str], says: str) -> None:
    result = invoke("prune", *arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
