"""A suite of school sums in a folder of data, and role services that solve it."""

from __future__ import annotations

import json
from pathlib import Path

from alpha_umi.serving.scripted import Rule
from recordings.suites.suite import Suite, load_suite
from support.serving_on_loopback import Serve
from support.system import Roles, call, serve_roles

NAME = "sums"
DEFINITION = f"""\
name: {NAME}
title: Sums
loader: gsm8k
data: sums.jsonl
licence: none
source: these tests
"""


def sums_file(folder: Path, count: int, loader: str = "gsm8k") -> Path:
    """The file of a suite of `count` sums, two steps each (a calculation, the answer), and its data."""
    lines = [
        {"question": f"What is {n} plus {n}?", "answer": f"It is {n}+{n}=<<{n}+{n}={2 * n}>>{2 * n}.\n#### {2 * n}"}
        for n in range(1, count + 1)
    ]
    (folder / "sums.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "sums.yaml").write_text(DEFINITION.replace("loader: gsm8k", f"loader: {loader}"))
    return folder / "sums.yaml"


def sums(folder: Path, count: int) -> Suite:
    """The loaded suite."""
    return load_suite(str(sums_file(folder, count)), folder)


def calculating_roles(serve: Serve, *, delay_s: float = 0.0) -> Roles:
    """Roles that call the calculator once, and then answer."""
    return serve_roles(
        serve,
        planner=[
            Rule(["It is known now. Next: conclusion."], when="observation:", delay_s=delay_s),
            Rule(["I compute it. Next: caller."], delay_s=delay_s),
        ],
        caller=[Rule([call("calculator", {"expression": "1+1"})])],
        summarizer=[Rule(["It is 2."])],
    )
