"""Bring stand-ins up in a process of its own, so that it can be interrupted: `python bring_up_program.py STATE PLAN`.

PLAN is a JSON list of [name, port, command].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console

from cli.local.services import Service
from cli.local.state import StateFolder
from cli.local.supervisor import Plan, bring_up

if __name__ == "__main__":
    services = [Service(name, tuple(command), port) for name, port, command in json.loads(sys.argv[2])]
    try:
        bring_up(StateFolder(Path(sys.argv[1])), Plan([], lambda: services, "token", grace_s=1), Console(stderr=True))
    except KeyboardInterrupt:
        sys.exit(130)
