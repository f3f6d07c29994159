"""The list of conversations: what it shows, and what is done in it by keyboard. About 40 seconds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from support.browsing import PATIENCE, opened, running
from support.hosts import Told
from support.servers import READ, Served
from support.teams import team
from support.watching import ending, send
from turnstone.core.host import CreateWorkstream
from turnstone.core.local_host import LocalHost

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "\"'><svg onload=alert(1)>",
    "javascript:void(alert(1))",
    "[click](javascript:alert(1))",
    "a" * 100,
    "مرحبا بالعالم",
]


async def named(host: LocalHost, *names: str) -> list[str]:
    """Workstreams of these names, by id; in the list the last one stands first."""
    return [(await host.create(CreateWorkstream(name=name))).id for name in names]


async def said(host: LocalHost, ws_id: str, message: str, cid: str) -> None:
    await send(host, ws_id, message, cid)
    await ending(host, ws_id, cid)


def row(page: Page, name: str) -> Any:
    return page.locator("[data-row]").filter(has_text=name)


async def test_a_row_tells_its_state_in_words_and_what_waits_is_called(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    [asking, idle] = await named(host, "asking", "quiet")
    async with opened(browser, node) as at:
        await expect(row(at.page, "quiet")).to_have_accessible_name("quiet (idle)")
        await send(host, asking, "run touch /etc/nothing", "c1")
        await expect(row(at.page, "asking")).to_have_accessible_name(
            "asking (needs an answer) bash: touch /etc/nothing"
        )
        await at.page.get_by_role("button", name="1 conversation needs an answer").click()
        await expect(at.page).to_have_url(f"{node.url}/#/ws/{asking}")
        await said(host, idle, "something", "c2")
        await expect(row(at.page, "quiet")).to_have_accessible_name("quiet (idle, something new)")
        await at.page.reload()
        await row(at.page, "quiet").filter(has_text="something new").click()
        await expect(row(at.page, "quiet")).to_have_accessible_name("quiet (idle)")
        assert at.troubles == []


async def test_an_answer_that_is_older_than_what_was_told_changes_no_state(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    [first] = await named(host, "first")
    answered, told = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        answer = await route.fetch()
        answered.set()
        await told.wait()
        await route.fulfill(response=answer)

    async with opened(browser, node) as at:
        await expect(row(at.page, "first")).to_have_count(1)
        await at.page.route("**/api/workstreams?*", late, times=1)
        await named(host, "second")
        async with asyncio.timeout(PATIENCE / 1000):
            await answered.wait()
        await send(host, first, "run touch /etc/nothing", "c1")
        await expect(row(at.page, "first")).to_contain_text("needs an answer")
        told.set()
        await expect(row(at.page, "second")).to_have_count(1)
        await expect(row(at.page, "first")).to_contain_text("needs an answer")
        assert at.troubles == []


async def test_a_name_that_is_being_typed_outlives_what_happens_in_the_list(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    await named(host, "first")
    async with opened(browser, node) as at:
        await row(at.page, "first").focus()
        await at.page.keyboard.press("F2")
        await at.page.keyboard.type("the long ")
        await named(host, "second")
        await expect(row(at.page, "second")).to_be_visible()
        await at.page.keyboard.type("name")
        await at.page.keyboard.press("Enter")
        await expect(row(at.page, "the long name")).to_be_focused()


async def test_the_list_is_walked_renamed_and_closed_by_keyboard(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    ids = await named(host, "third", "second", "first")
    async with opened(browser, node) as at:
        keys = at.page.keyboard
        await row(at.page, "first").focus()
        await keys.press("ArrowDown")
        await expect(row(at.page, "second")).to_be_focused()
        await keys.press("Enter")
        await expect(at.page).to_have_url(f"{node.url}/#/ws/{ids[1]}")
        await expect(row(at.page, "second")).to_have_attribute("aria-current", "page")

        await row(at.page, "second").focus()
        await keys.press("F2")
        await expect(at.page.locator(".list-rename input")).to_be_focused()
        await keys.type(HOSTILE[0])
        await keys.press("Enter")
        await expect(row(at.page, HOSTILE[0])).to_be_focused()
        assert next(i.name for i in await host.list() if i.id == ids[1]) == HOSTILE[0]
        await keys.press("F2")
        await keys.type("not this")
        await keys.press("Escape")
        await expect(row(at.page, HOSTILE[0])).to_be_focused()

        await keys.press("End")
        await expect(row(at.page, "third")).to_be_focused()
        await keys.press("Delete")
        await expect(at.page.locator("[data-row]")).to_have_count(2)
        assert [info.id for info in await host.list()] == ids[1:]
        assert at.troubles == []


async def test_only_one_row_is_a_stop_of_the_tab_key(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    await named(host, *(f"number {n}" for n in range(30)))
    async with opened(browser, node) as at:
        await expect(at.page.locator("[data-row]")).to_have_count(30)
        await expect(at.page.locator('[data-row][tabindex="0"]')).to_have_count(1)


async def test_the_box_filters_names_and_a_hit_opens_where_it_was_said(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    [long, other] = await named(host, "a long one", "another")
    for number in range(12):
        word = "the needle is here" if number == 3 else f"straw {number} " * 200
        await said(host, long, word, f"c{number}")
    async with opened(browser, node) as at:
        await expect(at.page.locator("[data-row]")).to_have_count(2)
        box = at.page.get_by_role("searchbox", name="Filter the list")
        while not await box.evaluate("box => box === document.activeElement"):
            await at.page.keyboard.press("/")  # the page takes keys a moment after it is drawn
        await at.page.keyboard.type("another")
        await expect(at.page.locator("[data-row]")).to_have_count(1)
        await expect(row(at.page, "another")).to_have_attribute("data-row", other)
        await box.fill("needle")
        hit = at.page.locator(".hit").filter(has_text="you")
        await expect(hit.locator("mark")).to_have_text("needle")
        await hit.click()
        place = at.page.locator(".block-message").filter(has_text="the needle is here")
        await expect(place).to_be_focused()
        await expect(place).to_be_in_viewport()
        assert at.troubles == []


async def test_a_hit_in_a_closed_conversation_opens_it_again_when_that_is_wanted(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    [ws_id] = await named(host, "gone")
    await said(host, ws_id, "a needle", "c1")
    await host.close(ws_id)
    async with opened(browser, node) as at:
        await at.page.get_by_role("searchbox", name="Filter the list").fill("needle")
        await at.page.locator(".hit").filter(has_text="you").click()
        await at.page.get_by_role("button", name="Open it").click()
        await expect(at.page.locator(".block-message").filter(has_text="a needle")).to_be_focused()
    assert [info.id for info in await host.list()] == [ws_id]


async def test_many_names_leave_room_for_what_was_said(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    ids = await named(host, *(f"needle {n}" for n in range(14)))
    await said(host, ids[0], "a needle", "c1")
    async with opened(browser, node) as at:
        await at.page.get_by_role("searchbox", name="Filter the list").fill("needle")
        await expect(at.page.locator("[data-row]")).to_have_count(10)
        await expect(at.page.locator(".hit").first).to_be_visible()
        await at.page.get_by_role("button", name="All 14 conversations").click()
        await expect(at.page.locator("[data-row]")).to_have_count(14)


async def test_a_new_conversation_is_begun_and_shown(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    async with opened(browser, node) as at:
        await at.page.get_by_role("button", name="New conversation").click()
        await expect(at.page.locator('[aria-current="page"][data-row]')).to_have_count(1)
        [info] = await host.list()
        await expect(at.page).to_have_url(f"{node.url}/#/ws/{info.id}")


async def test_what_a_token_may_not_do_is_told_in_words(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    async with opened(browser, node, token=READ) as at:
        await at.page.get_by_role("button", name="New conversation").click()
        await expect(at.page.locator(".toast.error")).to_contain_text("needs full")
    assert await host.list() == []


async def test_a_hostile_name_is_a_name(browser: Browser, node: Served, host: LocalHost) -> None:
    ids = await named(host, *HOSTILE)
    for number, (ws_id, name) in enumerate(zip(ids, HOSTILE, strict=True)):
        await said(host, ws_id, name, f"c{number}")
        await host.remember(f"colour {number}", name)
    async with opened(browser, node) as at:
        await expect(at.page.locator("[data-row]")).to_have_count(len(HOSTILE))
        for name in HOSTILE:
            await expect(row(at.page, name)).to_have_count(1)
        for place in ("sessions", "memory"):
            await at.page.goto(f"/#/{place}")
            for name in HOSTILE:
                await expect(at.page.locator("main").get_by_text(name, exact=True)).to_have_count(1)
        for ws_id, name in zip(ids, HOSTILE, strict=True):
            await at.page.goto(f"/#/policy/{ws_id}")
            await expect(at.page.locator("main option:checked")).to_have_text(name[:80])
            await at.page.goto(f"/#/ws/{ws_id}")
            await expect(at.page.locator(".block-message")).to_contain_text(name)
        await at.page.get_by_role("searchbox", name="Filter the list").fill("alert")
        await expect(at.page.locator(".hit").first).to_be_visible()
        assert at.troubles == []


async def test_on_a_phone_the_list_is_a_drawer_that_closes_once_one_is_chosen(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    await named(host, "only")
    async with opened(browser, node, viewport={"width": 390, "height": 800}) as at:
        menu = at.page.get_by_role("button", name="List of conversations")
        await expect(row(at.page, "only")).to_be_hidden()
        await menu.click()
        await row(at.page, "only").click()
        await expect(row(at.page, "only")).to_be_hidden()
        await menu.click()
        await expect(row(at.page, "only")).to_be_visible()
        await at.page.keyboard.press("Escape")
        await expect(row(at.page, "only")).to_be_hidden()
        await expect(menu).to_be_focused()


async def test_a_sub_agent_stands_under_the_conversation_that_made_it(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = team
    ws = await host.create(CreateWorkstream(name="above", auto_approve_tools=["task"]))
    async with opened(browser, node, f"/#/ws/{ws.id}") as at:
        await expect(row(at.page, "above")).to_have_count(1)
        await send(host, ws.id, "sub [bash touch /etc/nothing]", "c1")
        below = at.page.locator(".list-agents [data-row]")
        await expect(below).to_have_count(1)
        await expect(below).to_contain_text("needs an answer")
        await row(at.page, "above").focus()
        await at.page.keyboard.press("ArrowDown")
        await expect(below).to_be_focused()
        await at.page.keyboard.press("ArrowLeft")
        await expect(row(at.page, "above")).to_be_focused()
        await at.page.keyboard.press("ArrowLeft")
        await expect(below).to_have_count(0)
        await at.page.keyboard.press("ArrowRight")
        await below.click()
        [agent] = await host.list(ws.id)
        above = at.page.locator(".work-above")
        await expect(above).to_have_attribute("href", f"#/ws/{ws.id}")
        await expect(at.page).to_have_url(f"{node.url}/#/ws/{agent.id}")
        await at.page.get_by_role("button", name="Allow once").click()
        await ending(host, ws.id, "c1")
        await above.click()
        made = at.page.locator(".tool-ok .tool-agent a")
        await expect(made).to_have_attribute("href", f"#/ws/{agent.id}")
        await at.page.reload()
        await made.click()
        await expect(at.page).to_have_url(f"{node.url}/#/ws/{agent.id}")
        await expect(at.page.locator(".tool-name")).to_have_text(["bash"])
        assert at.troubles == []
