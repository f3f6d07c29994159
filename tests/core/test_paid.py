"""Every request to a model is set aside, settled and counted, whatever it is for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelserver import ModelServer, Reply, call, calls, error, hold, text
from modelserver.plans import echo, tool_results
from support.long_talk import LongTalk, Prints
from support.nodes import Node, local_node
from support.watching import ending, send, until
from support.web import opened, reply, web_server
from turnstone.core import events as ev
from turnstone.core import prompts
from turnstone.core.budget import Price
from turnstone.core.endpoint import transport_to
from turnstone.core.host import CreateWorkstream
from turnstone.core.models import DEFAULT, Model, Models
from turnstone.core.practice import PracticeTransport
from turnstone.core.titles import LONGEST
from turnstone.tools.web.fetching import Fetcher
from turnstone.tools.web_fetch import WebFetch

PAGE = "Tea costs 2."


def counted(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def title_asked(body: dict[str, Any]) -> bool:
    return bool(body["messages"][0]["content"] == prompts.text("title"))


def page_asked(body: dict[str, Any]) -> bool:
    return body.get("max_tokens") == 2_000 and "tools" not in body


def reading(url: str, answer: Reply) -> Callable[[dict[str, Any]], Reply]:
    """Fetches a page with a question, and answers with what came of it."""

    def plan(body: dict[str, Any]) -> Reply:
        if page_asked(body):
            return answer
        if body["messages"][-1]["role"] == "tool":
            return replace(text(tool_results(body)[-1][1]), usage=counted(100, 10))
        asked = calls(call("web_fetch", url=url, question="What is the price?"))
        return replace(asked, usage=counted(100, 10))

    return plan


async def records(node: Node, ws_id: str) -> list[ev.AnyEvent]:
    return await node.host._store.records(ws_id)


def of_role(found: list[ev.AnyEvent], role: str) -> list[ev.RequestCounted]:
    return [e for e in found if isinstance(e, ev.RequestCounted) and e.role == role]


async def test_a_title_is_in_what_was_used(tmp_path: Path) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        if title_asked(body):
            return replace(text("Pears"), usage=counted(40, 5))
        return replace(echo(body), usage=counted(100, 10))

    async with local_node(tmp_path, plan, titles=True, price=Price(1.0, 2.0)) as node:
        ws = await node.host.create(CreateWorkstream())
        await ending(node.host, ws.id, await send(node.host, ws.id, "hello"))
        await until(node.host, ws.id, ev.Titled)
        used = (await node.host.usage(ws.id)).own

    assert (used.requests, used.prompt_tokens, used.completion_tokens) == (2, 140, 15)
    assert used.money == pytest.approx(170e-6)


async def test_what_a_tool_has_a_model_look_for_is_paid_and_in_what_was_used(
    tmp_path: Path,
) -> None:
    async with web_server({"/": reply(PAGE)}) as server:
        tools = {"web_fetch": WebFetch(Fetcher(opened(server)))}
        plan = reading(server.url(), replace(text("Two."), usage=counted(500, 20)))
        async with local_node(tmp_path, plan, tools=tools, auto_approve=True) as node:
            ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=100_000)))
            done = await ending(node.host, ws.id, await send(node.host, ws.id, "go"))
            view = await node.host.usage(ws.id)
            [asked] = filter(page_asked, node.model.requests)

    assert "Two." in done.text
    assert "this is the page" not in done.text
    assert (asked["temperature"], asked["max_tokens"]) == (0.2, 2_000)
    assert (view.own.requests, view.own.total_tokens) == (3, 740)
    assert view.left.tokens == 100_000 - 740


async def test_the_role_extraction_names_the_model_that_reads_pages(tmp_path: Path) -> None:
    async with web_server({"/": reply(PAGE)}) as server:
        tools = {"web_fetch": WebFetch(Fetcher(opened(server)))}
        plan = reading(server.url(), text("from the chat's model"))
        with (
            ModelServer(lambda body: text("from the reader"), model="r") as reader,
            ModelServer(plan) as chat,
        ):
            models = Models(
                Model(DEFAULT, "m", transport_to(chat.base_url)),
                [Model("reader", "r", transport_to(reader.base_url))],
                {"extraction": "reader"},
            )
            async with local_node(
                tmp_path, plan, models=models, tools=tools, auto_approve=True
            ) as node:
                ws = await node.host.create(CreateWorkstream())
                done = await ending(node.host, ws.id, await send(node.host, ws.id, "go"))
                [counted] = of_role(await records(node, ws.id), "extraction")

    assert "from the reader" in done.text
    assert (counted.model, counted.asked) == ("r", "reader")


async def test_a_page_is_the_result_where_the_budget_does_not_suffice_for_an_answer(
    tmp_path: Path,
) -> None:
    async with web_server({"/": reply(PAGE)}) as server:
        tools = {"web_fetch": WebFetch(Fetcher(opened(server)))}
        plan = reading(server.url(), text("never asked"))
        async with local_node(tmp_path, plan, tools=tools, auto_approve=True) as node:
            ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=2_100)))
            done = await ending(node.host, ws.id, await send(node.host, ws.id, "go"))
            asked = list(filter(page_asked, node.model.requests))

    assert asked == []
    assert done.outcome == "done"
    assert PAGE in done.text
    assert "no answer was drawn from the page: the budget of " in done.text


async def test_the_practice_model_reads_no_pages(tmp_path: Path) -> None:
    async with web_server({"/": reply(PAGE)}) as server:
        tools = {"web_fetch": WebFetch(Fetcher(opened(server)))}
        plan = reading(server.url(), text("never asked"))
        with ModelServer(plan) as chat:
            models = Models(
                Model(DEFAULT, "m", transport_to(chat.base_url)),
                [Model("help", "practice", PracticeTransport(), practice=True)],
                {"extraction": "help"},
            )
            async with local_node(
                tmp_path, plan, models=models, tools=tools, auto_approve=True
            ) as node:
                ws = await node.host.create(CreateWorkstream())
                done = await ending(node.host, ws.id, await send(node.host, ws.id, "go"))

    assert "the practice model reads nothing; this is the page" in done.text
    assert PAGE in done.text


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Which pears\nare ripe?", "Which pears are ripe?"),
        ("pear " * 40, ("pear " * 16).rstrip() + "…"),
        ("p" * 200, "p" * (LONGEST - 1) + "…"),
    ],
)
async def test_where_a_title_cannot_be_paid_for_the_first_words_are_it(
    tmp_path: Path, said: str, title: str
) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        # The answer leaves less than a title may cost.
        return replace(text("ok"), usage=counted(9_000, 900))

    async with local_node(tmp_path, plan, titles=True) as node:
        ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=10_000)))
        await ending(node.host, ws.id, await send(node.host, ws.id, said))
        told, _ = await until(node.host, ws.id, ev.Titled)
        assert told.title == title
        assert len(told.title) <= LONGEST
        assert len(node.model.requests) == 1


async def test_a_request_that_is_stopped_in_its_answer_is_in_what_was_used(
    tmp_path: Path,
) -> None:
    gate = threading.Event()
    try:
        async with local_node(
            tmp_path, lambda body: hold(text("one two three", chunk=4), gate, 2)
        ) as node:
            ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=100_000)))
            cid = await send(node.host, ws.id, "hello")
            await until(node.host, ws.id, ev.Content, cid)
            await node.host.cancel(ws.id)
            assert (await ending(node.host, ws.id, cid)).outcome == "cancelled"
            view = await node.host.usage(ws.id)
            [counted] = of_role(await records(node, ws.id), "chat")
    finally:
        gate.set()

    assert (view.own.requests, counted.estimate) == (1, 0)
    assert counted.usage is not None
    assert view.left.tokens == 100_000 - counted.usage.total_tokens
    assert view.own.total_tokens == counted.usage.total_tokens > 0


async def test_what_a_provider_refuses_is_no_request_that_was_used(tmp_path: Path) -> None:
    async with local_node(tmp_path, lambda body: error(401, "no such key")) as node:
        ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=100_000)))
        await ending(node.host, ws.id, await send(node.host, ws.id, "hello"))
        view = await node.host.usage(ws.id)

    assert view.own.requests == 0
    assert view.left.tokens == 100_000


async def test_whatever_was_asked_is_in_what_was_used(tmp_path: Path) -> None:
    """Steps, accounts of what was archived, and a title: as many as the server has seen."""
    talk = LongTalk()

    def plan(body: dict[str, Any]) -> Reply:
        return text("Reading") if title_asked(body) else talk(body)

    tools = {"read_file": Prints("read_file", "12:00:01 INFO step finished\n" * 800)}
    async with local_node(tmp_path, plan, tools=tools, titles=True) as node:
        ws = await node.host.create(CreateWorkstream(budget=ev.Budget(tokens=1_000_000)))
        await ending(node.host, ws.id, await send(node.host, ws.id, "read 3"))
        await until(node.host, ws.id, ev.Titled)
        await node.host.command(ws.id, "/compact")
        found = await records(node, ws.id)
        view = await node.host.usage(ws.id)
        settled = [e.tokens for e in found if isinstance(e, ev.BudgetSettled)]

    assert of_role(found, "compaction")
    assert len(of_role(found, "title")) == 1
    assert view.own.requests == len(node.model.requests) == len(settled)
    assert view.left.tokens == 1_000_000 - sum(settled)
