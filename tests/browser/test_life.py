"""The life of a conversation as a person has it: begun, answered, reloaded, seen in two tabs, on
a phone, and with a node that is killed under it. About 30 seconds."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from modelserver import ModelServer, Reply, call, calls, hold, text
from support.browsing import opened, running
from support.held_tools import HeldTool
from support.hosts import Told, texts
from support.nodes import local_node
from support.processes import server
from support.servers import Served, serving
from support.watching import ending, send, snapshot
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, Host
from turnstone.core.local_host import LocalHost

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Milliseconds after which a letter is an answer for certain.
LATER = 5_000

#: An answer in words alone, so that the page shows it as it is.
LONG = " ".join(f"word{n}" for n in range(400))
HALF = 100  # chunks of it


def field(page: Page) -> Locator:
    return page.get_by_label("Message", exact=True)


def said(page: Page | Locator) -> Locator:
    return page.locator(".said-text")


def answers(page: Page | Locator) -> Locator:
    return page.locator(".answer .md")


async def is_journal(page: Page, host: LocalHost, ws_id: str) -> None:
    """The page shows what the journal has: every message, answer and call once, in that order."""
    [history] = [e for e in await snapshot(host, ws_id) if isinstance(e, ev.History)]
    kinds = {"user": "message", "assistant": "answer", "tool": "tool"}
    kept = [(kinds[m.role], m.content) for m in history.messages if m.content]
    blocks = page.locator(".block-message, .block-answer, .block-tool")
    await expect(blocks).to_have_count(len(kept))
    for n, (kind, content) in enumerate(kept):
        await expect(blocks.nth(n)).to_have_class(f"block block-{kind}")
        if kind != "tool":
            words = said(blocks.nth(n)) if kind == "message" else answers(blocks.nth(n))
            await expect(words).to_have_text(content)


async def begun(host: Host, name: str = "talk") -> str:
    return (await host.create(CreateWorkstream(name=name))).id


async def test_a_conversation_lives_by_keyboard_from_its_beginning_to_its_end(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    async with opened(browser, node, "about:blank") as at:
        page, keys = at.page, at.page.keyboard
        await page.clock.install()
        await page.goto("/")
        await page.get_by_role("button", name="New conversation").focus()
        await keys.press("Enter")
        await field(page).focus()
        await keys.type("run echo made > made.txt")
        await keys.press("Enter")
        ask = page.locator("article.ask")
        await expect(ask).to_be_focused()
        await page.clock.fast_forward(LATER)
        await keys.press("a")
        await expect(page.locator(".tool-ok")).to_have_count(1)
        await expect(answers(page)).to_have_text(["It ran."])
        await expect(field(page)).to_be_focused()
        assert (host.engine.workspace / "made.txt").read_text() == "made\n"

        await keys.type("run echo again > made.txt")
        await keys.press("Enter")
        await expect(ask).to_be_focused()
        await page.clock.fast_forward(LATER)
        await keys.press("d")
        await expect(page.locator(".tool-denied")).to_have_count(1)
        await expect(answers(page)).to_have_text(["It ran.", "It ran."])
        assert (host.engine.workspace / "made.txt").read_text() == "made\n"
        [info] = await host.list()
        await is_journal(page, host, info.id)
        await page.reload()
        await is_journal(page, host, info.id)

        row = page.locator(f'[data-row="{info.id}"]')
        await row.focus()
        await keys.press("F2")
        await keys.type("a day's work")
        await keys.press("Enter")
        await expect(row).to_contain_text("a day's work")
        await row.focus()
        await keys.press("Delete")
        await expect(row).to_have_count(0)
        assert await host.list() == []

        await page.goto("/#/sessions")
        await page.get_by_role("button", name="Resume a day's work").focus()
        await keys.press("Enter")
        await expect(answers(page)).to_have_text(["It ran.", "It ran."])
        await is_journal(page, host, info.id)
        await page.goto("/#/sessions")
        await page.get_by_role("button", name="Delete a day's work").focus()
        await keys.press("Enter")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await keys.press("Enter")
        await expect(page.locator("tbody tr")).to_have_count(0)
        assert await host.sessions() == []
        assert at.troubles == []


async def test_a_reload_in_the_middle_of_an_answer_loses_and_doubles_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    gate = threading.Event()
    tool = HeldTool()

    def plan(body: dict[str, Any]) -> Reply:
        if body["messages"][-1]["role"] == "tool":
            return hold(text(LONG, reasoning="Let me think."), gate, before=HALF)
        return calls(call("wait", key="a"))

    async with (
        local_node(tmp_path, plan, tools={"wait": tool}) as within,
        serving(within.host) as node,
    ):
        host = within.host
        ws_id = await begun(host)
        async with opened(browser, node, f"/#/ws/{ws_id}") as at:
            await expect(field(at.page)).to_be_visible()
            await send(host, ws_id, "go", "c1")
            await tool.runs("a")
            printed = at.page.get_by_label("Output so far")
            tool.going["a"]("one\n")
            await expect(printed).to_have_text("one\n")
            await at.page.reload()
            await expect(printed).to_have_text("one\n")
            tool.going["a"]("two\n")
            await expect(printed).to_have_text("one\ntwo\n")
            tool.let_go("a")

            for _ in range(3):
                await expect(answers(at.page)).to_contain_text("word80")
                whole = texts(await snapshot(host, ws_id))
                await expect(answers(at.page)).to_have_text([whole])
                assert LONG.startswith(whole)
                assert whole != LONG
                await at.page.reload()
            gate.set()
            await ending(host, ws_id, "c1")
            await expect(answers(at.page)).to_have_text([LONG])
            await is_journal(at.page, host, ws_id)
            await at.page.reload()
            await is_journal(at.page, host, ws_id)
            assert at.troubles == []


async def test_two_tabs_show_the_same_and_one_of_them_answers_for_both(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    ws_id = await begun(host)
    async with opened(browser, node, f"/#/ws/{ws_id}") as at:
        other = await at.page.context.new_page()
        await other.goto(f"/#/ws/{ws_id}")
        await expect(field(other)).to_be_visible()
        await field(at.page).fill("run echo both > both.txt")
        await field(at.page).press("Enter")
        for page in (at.page, other):
            await expect(page.locator("article.ask")).to_have_count(1)
        await other.get_by_role("button", name="Allow once").click()
        for page in (at.page, other):
            await expect(page.locator("article.ask")).to_have_count(0)
            await expect(answers(page)).to_have_text(["It ran."])
        await field(other).fill("and this from the other")
        await field(other).press("Enter")
        for page in (at.page, other):
            await expect(answers(page)).to_have_text(["It ran.", "and this from the other"])
            await is_journal(page, host, ws_id)
        await other.close()
        await field(at.page).fill("still there")
        await field(at.page).press("Enter")
        await expect(answers(at.page).last).to_have_text("still there")
        assert at.troubles == []


async def test_a_node_that_is_killed_under_a_page_goes_on_there_when_it_is_back(
    browser: Browser, tmp_path: Path
) -> None:
    gate = threading.Event()
    with ModelServer(lambda body: hold(text(LONG), gate, before=HALF)) as scripted:
        asking = ["--base-url", scripted.base_url]
        async with server(tmp_path, *asking) as first:
            port = first.url.rpartition(":")[2]
            async with opened(browser, first, token=first.token) as at:
                page = at.page
                await page.get_by_role("button", name="New conversation").click()
                await field(page).fill("go")
                await field(page).press("Enter")
                await expect(answers(page)).to_contain_text("word80")
                await first.kill()
                await expect(page.get_by_text("The node cannot be reached.")).to_be_visible()
                await expect(answers(page)).to_contain_text("word80")
                gate.set()
                async with server(tmp_path, *asking, "--port", port) as second:
                    assert second.url == first.url
                    await expect(page.get_by_text("Connected")).to_be_attached()
                    await expect(answers(page)).to_have_text([LONG])
                    await expect(said(page)).to_have_text(["go"])
                    await field(page).fill("and on")
                    await field(page).press("Enter")
                    await expect(answers(page)).to_have_text([LONG, LONG])
                    await expect(said(page)).to_have_text(["go", "and on"])
                    await page.reload()
                    await expect(answers(page)).to_have_text([LONG, LONG])
                    await expect(said(page)).to_have_text(["go", "and on"])
                    assert [each for each in at.troubles if each.startswith("thrown")] == []


async def test_on_a_phone_a_conversation_is_begun_answered_and_left_by_touch(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    phone: dict[str, Any] = {
        "viewport": {"width": 360, "height": 640},
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 2,
    }
    async with opened(browser, node, **phone) as at:
        page = at.page
        menu = page.get_by_role("button", name="List of conversations")
        await menu.tap()
        await page.get_by_role("button", name="New conversation").tap()
        await field(page).tap()
        await field(page).fill(f"run echo {'long/' * 60} > /dev/null")
        await page.get_by_role("button", name="Send").tap()
        await page.get_by_role("button", name="Allow once").tap()
        await expect(answers(page)).to_have_text(["It ran."])
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        [info] = await host.list()
        await is_journal(page, host, info.id)
        await menu.tap()
        await page.get_by_role("link", name="Settings").tap()
        await expect(page.locator("main h1")).to_have_text("Settings")
        assert at.troubles == []
