"""Web tools in a turn: asked about, judged by host, and never led to a host nobody judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from modelserver import Reply, call, calls, text
from modelserver.plans import tool_results
from support.nodes import local_node
from support.web import WebServer, names, redirect, reply, web_server
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream, Host, SendMessage
from turnstone.core.policy_rules import Rules, parse
from turnstone.core.tool import Tool
from turnstone.tools.web.addresses import Reach
from turnstone.tools.web.fetching import Fetcher
from turnstone.tools.web_fetch import WebFetch


def fetching(url: str) -> Callable[[dict[str, Any]], Reply]:
    """A plan: fetch this in each turn, then answer with what came of it."""

    def plan(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["role"] == "tool":
            return text(tool_results(body)[-1][1])
        return calls(call("web_fetch", url=url, question="What?"))

    return plan


def tool_of(server: WebServer) -> dict[str, Tool]:
    """`good.example`, `fine.example` and `evil.example` are this server."""
    known = {f"{name}_example": server.address for name in ("good", "fine", "evil")}
    reach = Reach(frozenset({server.port}), hosts=(".example",))
    return {"web_fetch": WebFetch(Fetcher(reach, resolve=names(**known)))}


async def turn(host: Host, *, approve: bool = True) -> list[ev.Event]:
    """All events of one turn; a question is answered."""
    ws = await host.create(CreateWorkstream())
    sent = await host.send(SendMessage(ws_id=ws.id, message="go"))
    seen: list[ev.Event] = []
    async with asyncio.timeout(20):
        events = host.follow(ws.id, ev.EventId(1))
        assert isinstance(events, AsyncGenerator)
        async with aclosing(events):
            async for event in events:
                if event.correlation_id != sent.correlation_id:
                    continue
                seen.append(event)
                if isinstance(event, ev.ApprovalAsked):
                    answer = Answer(ws_id=ws.id, request_id=event.request_id, approved=approve)
                    await host.approve(answer)
                if isinstance(event, ev.TurnEnded):
                    break
    return seen


def of(seen: list[ev.Event], kind: type[ev.Event]) -> list[Any]:
    return [event for event in seen if isinstance(event, kind)]


async def test_a_fetch_is_asked_about_with_its_address_and_question(tmp_path: Path) -> None:
    async with web_server({"/": reply("the page")}) as server:
        url = server.url(host="good.example")
        async with local_node(tmp_path, fetching(url), tools=tool_of(server)) as node:
            seen = await turn(node.host)
            assert len(server.requests) == 1
            refused = await turn(node.host, approve=False)
            assert len(server.requests) == 1

    [asked] = of(seen, ev.ApprovalAsked)
    assert asked.items[0].preview == f"GET {url}\n\nWhat?"
    [finished] = of(seen, ev.ToolFinished)
    assert finished.status == "ok"
    assert "the page" in finished.output
    assert of(refused, ev.ApprovalAsked)
    assert not of(refused, ev.ToolStarted)


async def test_a_permitted_host_leads_to_no_other(tmp_path: Path) -> None:
    """Good is permitted and fine is not, evil is forbidden; good sends to both."""
    async with web_server() as server:
        tools = tool_of(server)
        specs = {name: tool.spec for name, tool in tools.items()}
        rules = Rules(
            allow=(parse("web_fetch(good.example)", specs, None),),
            deny=(parse("web_fetch(evil.example)", specs, None),),
        )

        async def done(url: str) -> list[ev.Event]:
            folder = tmp_path / url.rpartition("/")[2]
            async with local_node(folder, fetching(url), tools=tools, rules=rules) as node:
                return await turn(node.host)

        server.answers = {
            "/plain": reply("the page"),
            "/fine": redirect(server.url("/plain", host="fine.example")),
            "/evil": redirect(server.url("/plain", host="evil.example")),
        }
        plain = await done(server.url("/plain", host="good.example"))
        to_fine = await done(server.url("/fine", host="good.example"))
        to_evil = await done(server.url("/evil", host="good.example"))
        evil = await done(server.url("/x", host="EVIL.example."))

    for seen in (plain, to_fine, to_evil, evil):
        assert not of(seen, ev.ApprovalAsked)
    assert "the page" in of(plain, ev.ToolFinished)[0].output
    for seen in (to_fine, to_evil):
        [finished] = of(seen, ev.ToolFinished)
        assert finished.status == "error"
        assert "redirects to another host" in finished.output
    assert not of(evil, ev.ToolStarted)
    assert [r.split(" ")[1] for r in server.requests] == ["/plain", "/fine", "/evil"]
