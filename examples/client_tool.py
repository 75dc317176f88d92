"""Ask about files of this folder: the models run on a server, the tool `count_lines` runs here.

python -m examples.client_tool "How many lines has LICENSE?"
"""

import os
import sys
from pathlib import Path
from typing import Any

import httpx

FILE = {"type": "object", "properties": {"file": {"type": "string", "description": "its name"}}, "required": ["file"]}
TOOL = {"name": "count_lines", "description": "Number of lines of a file of this folder", "parameters": FILE}


def execute(arguments: dict[str, Any]) -> dict[str, Any]:
    """The entry of `tool_outputs` for one call. A model chose the arguments, so access is limited to this folder."""
    try:
        return {"content": f"{len(Path(Path(arguments['file']).name).read_bytes().splitlines())} lines"}
    except OSError as error:
        return {"content": f"{arguments['file']}: {error.strerror}", "is_error": True}


def ask(http: httpx.Client, instruction: str) -> dict[str, Any]:
    """The finished trajectory. Every required call is executed here."""
    answer = http.post("/v1/trajectories", json={"instruction": instruction, "tools": [TOOL]})
    while (trajectory := answer.raise_for_status().json())["status"] == "requires_action":
        call = trajectory["steps"][-1]["action"]
        output = {"call_id": call["call_id"], **execute(call["arguments"])}
        answer = http.post(f"/v1/trajectories/{trajectory['id']}/tool_outputs", json={"outputs": [output]})
    return dict(trajectory)


if __name__ == "__main__":
    # The response comes with the next required action or the end, which can take minutes.
    with httpx.Client(base_url=os.environ.get("ALPHA_UMI_URL", "http://127.0.0.1:8000"), timeout=900) as client:
        print(ask(client, sys.argv[1])["answer"])
