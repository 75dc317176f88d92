"""Start stand-ins in a separate process that can be interrupted: `python start_system_program.py STATE SERVICES`.

SERVICES is a JSON list of [name, port, command].
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rich.console import Console

from cli.local.services import Service
from cli.local.state import StateFolder
from cli.local.supervisor import Plan, start_system

if __name__ == "__main__":
    services = [Service(name, tuple(command), port) for name, port, command in json.loads(sys.argv[2])]
    plan = Plan([], lambda: services, "token", grace_s=1)
    try:
        start_system(StateFolder(Path(sys.argv[1])), plan, Console(stderr=True))
    except KeyboardInterrupt:
        sys.exit(130)
