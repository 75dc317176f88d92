"""The official client for Python reads streams of background responses to their ends, however often they break.

Each line of standard input is the JSON of a request. The events of its stream are printed as they come, then `null`,
or why not all of them came.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import openai
from openai import OpenAI

TERMINAL = {"response.completed", "response.incomplete", "response.failed"}
PAUSE_S = 0.05
LIMIT_S = 30.0


def events_of(client: OpenAI, request: dict[str, Any]) -> Iterator[Any]:
    """Every event up to the terminal one. The request is repeated until its first one came, under one key."""
    # Of a response that exists, if one is named: its stored stream.
    response_id, last, end = request.get("stored"), None, time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        after: dict[str, int] = {} if last is None else {"starting_after": last}
        try:
            if response_id is None:
                stream = client.responses.create(**request, background=True, stream=True)
            else:
                stream = client.responses.retrieve(response_id, stream=True, **after)
            for event in stream:
                if event.type == "response.created":
                    response_id = event.response.id
                last = event.sequence_number
                yield event
                if event.type in TERMINAL:
                    return
        except (openai.APIConnectionError, openai.InternalServerError):
            pass
        time.sleep(PAUSE_S)
    raise TimeoutError(f"{response_id} has no end; the newest event is {last}")


def main() -> None:
    """Answer the lines of standard input."""
    client = OpenAI(max_retries=0, timeout=30)
    for line in sys.stdin:
        try:
            for event in events_of(client, json.loads(line)):
                print(json.dumps(event.to_dict(warnings=False)), flush=True)
        except TimeoutError as error:
            print(json.dumps(str(error)), flush=True)
        else:
            print("null", flush=True)


if __name__ == "__main__":
    main()
