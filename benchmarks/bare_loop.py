"""The agent's loop without log, checks or metrics: a lower bound of the orchestrator's cost."""

from __future__ import annotations

import asyncio

from alpha_umi.contract.roles import CALL, PLAN, SUMMARIZE
from benchmarks.agent_calls import AgentCalls, agent_calls, question, turn
from benchmarks.closed_loop import measure_own, parse_arguments, print_cost


async def run_job(calls: AgentCalls, job: str) -> None:
    """One trajectory."""
    history = [question(job)]
    while True:
        decided = await calls.call_role(PLAN.path, history)
        history.append(turn("planner", decided["text"]))
        if decided["next"] != "caller":
            break
        called = await calls.call_role(CALL.path, history)
        history.append(turn("caller", called["text"]))
        history.append(turn("observation", await calls.run_tool(called["action"]["arguments"])))
    await calls.call_role(SUMMARIZE.path, history)


async def main() -> None:
    """Run the loop of the command line."""
    options = parse_arguments(__doc__)
    async with agent_calls(options.url) as calls:
        print_cost(
            await measure_own(lambda job: run_job(calls, job), concurrency=options.concurrency, jobs=options.jobs),
        )


if __name__ == "__main__":
    asyncio.run(main())
