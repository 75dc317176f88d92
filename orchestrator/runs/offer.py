"""Which of a trajectory's tools a step is offered: all of them, or those that retrieval finds for it.

The planner's step is recorded with them, so that the caller gets the same ones, also after a restart.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from alpha_umi.contract.roles import MAX_PROMPT_TOOLS
from alpha_umi.roles.turns import Role, estimated_tokens
from alpha_umi.trajectory import State
from orchestrator.roles.contexts import RoleContexts
from orchestrator.tools.tool_sets import ToolSet

# Of a trajectory; the orchestrator may add one itself.
MAX_STEP_TOOLS = MAX_PROMPT_TOOLS - 1


@dataclass(frozen=True)
class ToolOffers:
    """Chooses the tools of a step.

    Retrieval chooses `retrieve_tools` tools where the trajectory requests it; without a request where there are more
    than a role service takes, or where their tokens exceed the share `retrieve_above` of the smallest context. The
    chosen ones stay below that share, too, as far as at least one is offered. The client's tools are always offered.
    """

    contexts: RoleContexts
    retrieve_tools: int = 10
    retrieve_above: float = 0.5

    async def choose(self, state: State, tool_set: ToolSet) -> tuple[str, ...] | None:
        """The names of the tools to offer with the next step, in the order of the trajectory; None: all of them."""
        if state.retrieve is False or len(tool_set.tools) <= self.retrieve_tools:
            return None
        roles: tuple[Role, ...] = ("backbone",) if state.strategy == "single" else ("planner", "caller")
        context = await self.contexts.smallest(roles)
        budget = None if context is None else round(context * self.retrieve_above)
        # Counting tokens and building the index take long for thousands of tools.
        return await asyncio.to_thread(self._choose, state, tool_set, budget)

    def _choose(self, state: State, tool_set: ToolSet, budget: int | None) -> tuple[str, ...] | None:
        left = None if budget is None else budget - estimated_tokens(state.client_tools)
        room = MAX_STEP_TOOLS - len(state.client_tools)
        is_too_much = left is not None and sum(tool_set.tokens.values()) > left
        if not state.retrieve and not is_too_much and len(state.tools) <= MAX_STEP_TOOLS:
            return None
        used = _used_tools(state, tool_set)
        ranked = list(dict.fromkeys([*used, *tool_set.index.ranked(_query(state))]))
        chosen = _within(tool_set, ranked[: min(room, max(len(used), self.retrieve_tools))], left)
        client_tools = {tool.name for tool in state.client_tools}
        return tuple(name for name in state.tools if name in chosen or name in client_tools)


def _used_tools(state: State, tool_set: ToolSet) -> list[str]:
    """The tools that were called, newest first."""
    actions = [step.action for step in reversed(state.steps) if step.action is not None]
    return list(dict.fromkeys(action.name for action in actions if action.name in tool_set.tools))


def _query(state: State) -> str:
    """The newest user message, and the newest thought of the current branch."""
    instruction = next(message.content for message in reversed(state.messages) if message.role == "user")
    return instruction if state.tip is None else f"{instruction}\n{state.steps[state.tip].thought}"


def _within(tool_set: ToolSet, names: list[str], budget: int | None) -> set[str]:
    """The first of some tools whose tokens fit together; at least one."""
    chosen: set[str] = set()
    for name in names:
        if budget is not None:
            budget -= tool_set.tokens[name]
            if budget < 0 and chosen:
                break
        chosen.add(name)
    return chosen
