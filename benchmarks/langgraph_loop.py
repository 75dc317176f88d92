"""The same agent as a LangGraph graph; every step is checkpointed in SQLite before the next one.

Runs in the environment of `make benchmarks-setup`.
"""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from alpha_umi.contract.roles import CALL, PLAN, SUMMARIZE
from benchmarks.agent_calls import AgentCalls, Json, Turn, agent_calls, question, turn
from benchmarks.closed_loop import measure_own, parse_arguments, print_cost


class AgentState(TypedDict, total=False):
    """State of the graph."""

    history: Annotated[list[Turn], operator.add]
    next: str
    arguments: Json


def build(calls: AgentCalls) -> Any:
    """The graph: one node per call."""

    async def plan(state: AgentState) -> AgentState:
        decided = await calls.call_role(PLAN.path, state["history"])
        return {"history": [turn("planner", decided["text"])], "next": decided["next"]}

    async def call(state: AgentState) -> AgentState:
        called = await calls.call_role(CALL.path, state["history"])
        return {"history": [turn("caller", called["text"])], "arguments": called["action"]["arguments"]}

    async def observe(state: AgentState) -> AgentState:
        return {"history": [turn("observation", await calls.run_tool(state["arguments"]))]}

    async def summarize(state: AgentState) -> AgentState:
        answer = await calls.call_role(SUMMARIZE.path, state["history"])
        return {"history": [turn("conclusion", answer["answer"])]}

    graph = StateGraph(AgentState)
    for node in (plan, call, observe, summarize):
        graph.add_node(node)
    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", lambda state: "call" if state["next"] == "caller" else "summarize")
    graph.add_edge("call", "observe")
    graph.add_edge("observe", "plan")
    graph.add_edge("summarize", END)
    return graph


async def main() -> None:
    """Run the loop of the command line."""
    options = parse_arguments(__doc__)
    async with (
        agent_calls(options.url) as calls,
        AsyncSqliteSaver.from_conn_string(str(options.folder / "checkpoints.db")) as checkpoints,
    ):
        graph = build(calls).compile(checkpointer=checkpoints)

        async def work(job: str) -> None:
            config = {"configurable": {"thread_id": job}, "recursion_limit": 50}
            await graph.ainvoke({"history": [question(job)]}, config, durability="sync")

        print_cost(await measure_own(work, concurrency=options.concurrency, jobs=options.jobs))


if __name__ == "__main__":
    asyncio.run(main())
