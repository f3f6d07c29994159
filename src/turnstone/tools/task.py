"""The tool `task`: a piece of work for a sub-agent, whose answer is the result.

Carries nothing out itself: the sub-agent is a workstream, and each of its calls is judged,
asked about and recorded there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from turnstone.core.sub_agents import AgentOrder
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.agent_call import carried_out, offer_of, prepared, told
from turnstone.tools.spec import load_spec


class Task:
    def __init__(self) -> None:
        self.spec = load_spec("task")

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        return prepared("task", arguments, context)

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        prompt = str(prepared.arguments["prompt"])
        order = AgentOrder("task", prompt, offer_of("task", context))
        return told(await carried_out(order, context))

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None  # never asked: the sub-agent's own journal tells
