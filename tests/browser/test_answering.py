"""Questions, plans and the place where one writes, as people use them. About a minute."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Locator, Page, Route, expect

from modelserver.plans import echo
from support.browsing import barriers, opened, running
from support.hosts import Told
from support.servers import READ, Served
from support.teams import team
from turnstone.core.host import Answer, CreateWorkstream
from turnstone.core.local_host import LocalHost

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Milliseconds after which a letter is an answer for certain, and an empty field a quiet one.
LATER = 5_000


@asynccontextmanager
async def conversation(
    browser: Browser, node: Served, host: LocalHost, name: str = "talk"
) -> AsyncIterator[Page]:
    """The page of a new workstream, whose clock a test may move on. Nothing may go wrong in it."""
    ws = await host.create(CreateWorkstream(name=name))
    async with opened(browser, node, "/login") as at:
        await at.page.clock.install()
        await at.page.goto(f"/#/ws/{ws.id}")
        await expect(field(at.page)).to_be_visible()
        yield at.page
        assert at.troubles == []


def field(page: Page) -> Locator:
    return page.get_by_label("Message", exact=True)


def asks(page: Page) -> Locator:
    return page.locator("article.ask")


async def say(page: Page, text: str, key: str = "Enter") -> None:
    await field(page).fill(text)
    await field(page).press(key)


async def test_a_question_is_answered_by_keys_alone(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    async with conversation(browser, node, host) as page:
        await say(page, "run touch /etc/nothing")
        await expect(asks(page)).to_be_focused()
        await expect(asks(page)).to_contain_text("touch /etc/nothing")
        await expect(asks(page)).to_contain_text("bash is asked by default")
        assert await barriers(page) == []
        await page.clock.fast_forward(LATER)
        await page.keyboard.press("f")
        await page.keyboard.type("not there")
        await page.keyboard.press("Enter")
        await expect(page.locator(".tool-denied")).to_contain_text("not there")
        await expect(field(page)).to_be_focused()


async def test_always_permits_what_is_shown_and_no_more(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    async with conversation(browser, node, host) as page:
        await say(page, "run echo one > one.txt")
        await expect(asks(page)).to_contain_text("Always allow: bash for exactly 'echo one")
        await page.clock.fast_forward(LATER)
        await page.keyboard.press("w")
        await expect(page.locator(".tool-ok")).to_have_count(1)
        await say(page, "run echo one > one.txt")
        await expect(page.locator(".tool-ok")).to_have_count(2)
        await say(page, "run echo two > one.txt")
        await expect(asks(page)).to_have_count(1)


async def test_a_letter_that_belongs_to_a_word_is_no_answer(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    async with conversation(browser, node, host) as page:
        await say(page, "run echo x > x.txt")
        await expect(asks(page)).to_be_focused()
        await page.keyboard.type("and")  # begun just when the question came
        await say(page, "an")
        await field(page).press_sequentially("a")
        await page.clock.fast_forward(LATER)
        await field(page).press_sequentially("d")
        await expect(field(page)).to_have_value("ad")
        await expect(asks(page)).to_have_count(1)


async def test_a_question_does_not_take_the_focus_from_somebody_who_writes(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    async with conversation(browser, node, host) as page:
        await page.route("**/api/send", _late)
        await say(page, "run echo x > x.txt")
        await field(page).press_sequentially("the next thing")
        await expect(asks(page)).to_have_count(1)
        await expect(field(page)).to_be_focused()
        await expect(field(page)).to_have_value("the next thing")


async def _late(route: Route) -> None:
    """Once something else has been written."""
    await expect(field(route.request.frame.page)).to_have_value("the next thing")
    await route.continue_()


async def test_a_command_that_looks_like_a_diff_is_shown_whole(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    command = "--- x; rm -rf /home\n+++ y\n@@ -1 +1 @@\n-a\n+b"
    async with conversation(browser, node, host) as page:
        await field(page).fill(f"run {command}")
        await field(page).press("Enter")
        shown = asks(page).get_by_label("What would be done")
        assert await shown.inner_text() == command


async def test_questions_of_sub_agents_are_answered_in_any_order(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = team
    async with conversation(browser, node, host) as page:
        await say(page, "sub [bash echo 1 > a] & sub [bash echo 2 > b]")
        await expect(asks(page)).to_be_focused()
        await page.clock.fast_forward(LATER)
        await page.keyboard.press("a")
        of_agents = asks(page).filter(has_text="asked by the sub-agent")
        await expect(of_agents).to_have_count(2)
        await page.clock.fast_forward(LATER)
        await page.keyboard.press("n")
        last = of_agents.nth(1)
        await expect(last).to_be_focused()
        second = "echo 2" in await last.inner_text()
        await page.keyboard.press("d")
        await expect(of_agents).to_have_count(1)
        await expect(of_agents).to_contain_text("echo 1" if second else "echo 2")
        [ws] = await host.list()
        await host.approve(Answer(ws_id=ws.id, approved=True))
        await expect(page.locator(".tool-ok")).to_have_count(2)
        await expect(asks(page)).to_have_count(0)


async def test_an_answer_from_elsewhere_is_told(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = team
    async with conversation(browser, node, host) as page:
        await say(page, "bash echo 1 > a; bash echo 2 > b")
        await expect(asks(page)).to_contain_text("echo 1")
        [ws] = await host.list()
        await host.approve(Answer(ws_id=ws.id, approved=True, by="<b>ann</b>"))
        told = page.get_by_text("Answered elsewhere: allowed by <b>ann</b>: bash: echo 1 > a")
        await expect(told).to_be_visible()
        await expect(asks(page)).to_contain_text("echo 2")


async def test_a_plan_that_was_changed_goes_back_as_it_reads_now(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = team
    async with conversation(browser, node, host) as page:
        await say(page, "plan [say # Do it]; say over")
        await expect(asks(page)).to_be_focused()
        await page.clock.fast_forward(LATER)
        await page.keyboard.press("a")
        await expect(page.get_by_role("heading", name="Do it")).to_be_visible()
        assert await barriers(page) == []
        await page.get_by_role("button", name="Change it", exact=True).click()
        await page.get_by_label("The plan").fill("# Do another thing")
        await page.get_by_role("button", name="Accept as changed").click()
        result = page.locator(".tool-ok details").filter(has_text="Result").last
        await result.locator("summary").click()
        await expect(result).to_contain_text("The plan was changed.")
        await expect(result).to_contain_text("# Do another thing")


async def test_what_waits_for_a_turn_is_shown_and_taken_back(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    async with conversation(browser, node, host) as page:
        await say(page, "run echo x > x.txt")
        await expect(asks(page)).to_have_count(1)
        await say(page, "for later")
        await say(page, "for now", "Alt+Enter")
        waits = page.get_by_role("list", name="Messages that wait").get_by_role("listitem")
        await expect(waits.filter(has_text="for now")).to_contain_text("into this turn")
        later = waits.filter(has_text="for later")
        await expect(later).to_contain_text("queued")
        await later.get_by_role("button", name="Take back").click()
        await expect(field(page)).to_have_value("for later")
        await expect(waits).to_have_count(1)
        await page.keyboard.press("Escape")
        await expect(page.locator(".ending")).to_contain_text("Stopped.")


async def test_a_message_whose_answer_was_lost_is_sent_again_and_accepted_once(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = echo
    ws = await host.create(CreateWorkstream())
    async with opened(browser, node, f"/#/ws/{ws.id}") as at:
        page = at.page

        async def lost(route: Route) -> None:
            await route.fetch()
            await route.abort()

        await page.route("**/api/send", lost, times=1)
        await say(page, "only once")
        await expect(field(page)).to_have_value("only once")
        await expect(page.locator(".toast")).to_contain_text("The node does not answer.")
        await field(page).press("Enter")
        await expect(field(page)).to_have_value("")
        await expect(page.locator(".said-text")).to_have_text(["only once"])
        await say(page, "and more")
        await expect(page.locator(".said-text")).to_have_text(["only once", "and more"])


async def test_a_message_is_changed_and_the_conversation_goes_on_from_there(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = echo
    async with conversation(browser, node, host) as page:
        for text in ("first", "second"):
            await say(page, text)
            await expect(page.locator(".answer").last).to_contain_text(text)
            await expect(page.locator(".work-state")).to_contain_text("idle")
        await page.get_by_role("button", name="Edit").first.click()
        await page.get_by_role("dialog").get_by_role("button", name="Change it").click()
        await expect(field(page)).to_have_value("first")
        await expect(page.locator(".said-text")).to_have_count(0)
        await say(page, "third")
        await expect(page.locator(".said-text")).to_have_text(["third"])


async def test_commands_are_completed_and_a_wrong_one_comes_back(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    async with conversation(browser, node, host) as page:
        await field(page).press_sequentially("/reas")
        offers = page.get_by_role("listbox", name="Commands").get_by_role("option")
        await expect(offers).to_have_count(1)
        await page.keyboard.press("Tab")
        await expect(offers).to_have_text(["low", "medium", "high", "none"])
        assert await barriers(page) == []
        await page.keyboard.press("Enter")
        await page.keyboard.press("Enter")
        await expect(page.locator(".notice")).to_contain_text("Reasoning effort: low.")
        await say(page, "/nonsense")
        await expect(page.locator(".notice.error")).to_contain_text("There is no command /nonsense")
        await expect(field(page)).to_have_value("/nonsense")


async def test_who_may_only_read_is_offered_no_answer(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    async with conversation(browser, node, host) as page:
        await say(page, "run echo x > x.txt")
        await expect(asks(page)).to_have_count(1)
        [ws] = await host.list()
        async with opened(browser, node, f"/#/ws/{ws.id}", READ) as at:
            await expect(asks(at.page)).to_contain_text("Your token may read here, and not answer.")
            await expect(asks(at.page).get_by_role("button")).to_have_count(0)
            await expect(field(at.page)).to_have_count(0)
