"""What the tools `task` and `plan` have in common: how a call is shown, and how its end is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.sub_agents import AgentEnd, AgentKind, AgentOrder, Offer, SubAgents
from turnstone.core.tool import PathUse, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.text import one_line, visible


class AgentArguments(msgspec.Struct, frozen=True):
    prompt: str


def prepared(
    agent: AgentKind,
    arguments: Mapping[str, Any],
    context: ToolContext,
    paths: tuple[PathUse, ...] = (),
) -> Prepared:
    """A call of the tool of this name. Its hash covers what runs unasked in the sub-agent.

    Raises ToolRefused: no prompt, or no sub-agents here.
    """
    wanted = parse_arguments(agent, AgentArguments, arguments)
    if not wanted.prompt.strip():
        raise ToolRefused(f"{agent}: the argument `prompt` is empty.")
    offer = offer_of(agent, context)
    unasked = f"runs without asking: {', '.join(offer.unasked) or 'nothing'}"
    with_ = f"works with: {', '.join(offer.tools) or 'no tools'}"
    return Prepared(
        tool=agent,
        arguments={"prompt": wanted.prompt},
        effect="agent",
        header=f"{agent}: {one_line(wanted.prompt)}",
        preview=f"{visible(wanted.prompt)}\n\n{with_}\n{unasked}",
        paths=paths,
        expects=f"{with_}; {unasked}",
    )


def agents_of(agent: AgentKind, context: ToolContext) -> SubAgents:
    """Raises ToolRefused."""
    if context.agents is None:
        raise ToolRefused(f"{agent}: there are no sub-agents here.")
    return context.agents


def offer_of(agent: AgentKind, context: ToolContext) -> Offer:
    """Raises ToolRefused where this workstream may start no sub-agent."""
    offer = agents_of(agent, context).offer(agent)
    if offer is None:
        raise ToolRefused(
            f"{agent}: a sub-agent may start no others here ([tools] agent_depth).",
            hint="Do the work yourself.",
        )
    return offer


async def carried_out(order: AgentOrder, context: ToolContext) -> AgentEnd:
    return await agents_of(order.agent, context).run(order, context.call_id)


def told(end: AgentEnd) -> ToolResult:
    """The end of a sub-agent, for the model that called it."""
    text = end.text.strip()
    if end.outcome == "done" or (end.outcome == "max_steps" and text):
        return ToolResult("ok", text, end.tainted)
    why = f": {end.reason}" if end.reason else ""
    if end.outcome == "cancelled":
        words = f"The sub-agent was stopped{why}. What it had done until then is done."
        return ToolResult("cancelled", words, end.tainted)
    words = f"The sub-agent ended without an answer ({end.outcome}{why})."
    said = f" The last it said was:\n{text}" if text else ""
    return ToolResult("error", words + said, end.tainted)
