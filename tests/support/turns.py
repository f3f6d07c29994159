"""Turns of a host: carried through to their end, and what was told of them."""

from __future__ import annotations

import asyncio
from typing import Any

from modelserver import Reply, call, calls, text
from modelserver.plans import tool_results
from turnstone.core import events as ev
from turnstone.core.host import Answer, Host, SendMessage


async def turn(host: Host, ws_id: str, message: str, **answer: Any) -> list[ev.Event]:
    """Send, answer every question with `answer`, and return the events of the turn."""
    sent = await host.send(SendMessage(ws_id=ws_id, message=message))
    return await until_ended(host, ws_id, sent.correlation_id, **answer)


async def until_ended(
    host: Host, ws_id: str, correlation_id: str, after: ev.EventId | None = None, **answer: Any
) -> list[ev.Event]:
    seen: list[ev.Event] = []
    async with asyncio.timeout(20):
        async for event in host.follow(ws_id, after or ev.EventId(1)):
            if event.correlation_id != correlation_id:
                continue
            seen.append(event)
            if isinstance(event, ev.ApprovalAsked) and answer:
                await host.approve(
                    Answer(ws_id=ws_id, request_id=event.request_id, by="tester", **answer)
                )
            if isinstance(event, ev.TurnEnded):
                return seen
    raise AssertionError("the stream ended before the turn")


def kinds(events: list[ev.Event]) -> list[str]:
    """The types of the events, streaming pieces left out."""
    return [e.type for e in events if not isinstance(e, ev.Content | ev.ToolOutput)]


def ending(events: list[ev.Event]) -> ev.TurnEnded:
    last = events[-1]
    assert isinstance(last, ev.TurnEnded)
    return last


def bash_once(command: str) -> Any:
    """A plan: call bash with this command, then answer with what it gave."""

    def plan(body: dict[str, Any]) -> Reply:
        results = tool_results(body)
        return text(results[-1][1]) if results else calls(call("bash", command=command))

    return plan
