"""The orchestrator's REST interface, as the commands use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import connect_sse

Json = dict[str, Any]


class Unreachable(RuntimeError):
    """Nobody answers at the address."""


class Refused(RuntimeError):
    """The orchestrator refused the request; the message is its problem document in one paragraph."""


@dataclass(frozen=True)
class StreamEvent:
    """One server-sent event; live text has no id."""

    id: str
    name: str
    data: Json


class Client:
    """A connection to one orchestrator."""

    def __init__(self, address: str, api_key: str | None = None) -> None:
        self.address = address.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(base_url=self.address, headers=headers, timeout=30, trust_env=False)

    def get(self, path: str, **parameters: str | int) -> Json:
        """Read. Raises `Unreachable` or `Refused`."""
        return self._json("GET", path, params=parameters)

    def post(self, path: str, body: Json | None = None) -> Json:
        """Write. Raises `Unreachable` or `Refused`."""
        return self._json("POST", path, json=body)

    def delete(self, path: str) -> None:
        """Remove. Raises `Unreachable` or `Refused`."""
        self._json("DELETE", path)

    def ask(self, body: Json) -> Iterator[StreamEvent]:
        """A new trajectory, event by event. Raises `Unreachable` or `Refused`."""
        return self._events("POST", "/v1/trajectories", json={**body, "stream": True})

    def follow(self, trajectory_id: str) -> Iterator[StreamEvent]:
        """A trajectory's events from its beginning. Raises `Unreachable` or `Refused`."""
        return self._events("GET", f"/v1/trajectories/{trajectory_id}/events")

    def _json(self, method: str, path: str, **options: Any) -> Json:
        with self._reaching():
            response = self._http.request(method, path, **options)
        _raise_for_problem(response)
        return response.json() if response.content else {}

    def _events(self, method: str, path: str, **options: Any) -> Iterator[StreamEvent]:
        with (
            self._reaching(),
            connect_sse(self._http, method, path, timeout=httpx.Timeout(30, read=None), **options) as source,
        ):
            if source.response.is_error:
                source.response.read()
            _raise_for_problem(source.response)
            for event in source.iter_sse():
                if event.data:
                    yield StreamEvent(event.id, event.event, json.loads(event.data))

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise Unreachable(f"no answer from {self.address} ({error}); is it up? `alpha-umi up` starts it") from error


def _raise_for_problem(response: httpx.Response) -> None:
    if response.is_success:
        return
    try:
        problem = response.json()
    except ValueError:
        raise Refused(f"HTTP {response.status_code}: {response.text[:300]}") from None
    lines = [f"{problem.get('title', response.status_code)}: {problem.get('detail', '')}"]
    for entry in problem.get("errors", []):
        remedy = f" ({entry['remedy']})" if entry.get("remedy") else ""
        lines.append(f"  {entry['field']}: {entry['message']}{remedy}")
    raise Refused("\n".join(lines))
