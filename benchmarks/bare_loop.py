"""The agent's loop with nothing around it: no log, no checks, no metrics. The least that such a loop can cost."""

from __future__ import annotations

import asyncio

from benchmarks.agent_calls import AgentCalls, agent_calls, question, turn
from benchmarks.closed_loop import measure_own, parse_arguments, tell


async def run_job(calls: AgentCalls, job: str) -> None:
    """One trajectory."""
    history = [question(job)]
    while True:
        decided = await calls.ask("/v1/plan", history)
        history.append(turn("planner", decided["text"]))
        if decided["next"] != "caller":
            break
        called = await calls.ask("/v1/call", history)
        history.append(turn("caller", called["text"]))
        history.append(turn("observation", await calls.run_tool(called["action"]["arguments"])))
    await calls.ask("/v1/summarize", history)


async def main() -> None:
    """Run the loop that the command line asks for."""
    options = parse_arguments(__doc__)
    async with agent_calls(options.url) as calls:
        tell(
            await measure_own(lambda job: run_job(calls, job), concurrency=options.concurrency, jobs=options.jobs),
        )


if __name__ == "__main__":
    asyncio.run(main())
