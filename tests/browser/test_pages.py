"""The pages beside the conversations: what one does there, and that everybody can. About 60
seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from support.browsing import barriers, opened, running
from support.hosts import Told
from support.servers import Served, serving, three_roles
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.config import load_settings
from turnstone.core.host import Answer, CreateWorkstream
from turnstone.core.local_host import LocalHost

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 800}},
}


async def talked(host: LocalHost, name: str, message: str, cid: str) -> str:
    ws_id = (await host.create(CreateWorkstream(name=name))).id
    await send(host, ws_id, message, cid)
    await ending(host, ws_id, cid)
    return ws_id


@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_can_be_used_by_everybody(
    browser: Browser, node: Served, host: LocalHost, look: str
) -> None:
    ws_id = await talked(host, "<b>work</b>", "hello there", "c1")
    await host.remember("colour", "green\nor blue")
    pages = ("sessions", "memory", f"policy/{ws_id}", f"usage/{ws_id}", "settings", "help", "")
    async with opened(browser, node, **LOOKS[look]) as at:
        for page in pages:
            await at.page.goto(f"/#/{page}")
            await expect(at.page.locator("main h1")).to_be_visible()
            await expect(at.page.locator(".page-loading, .page-failed")).to_have_count(0)
            if look == "phone":
                assert await at.page.evaluate("document.body.scrollWidth") <= 390, page
            assert await barriers(at.page) == [], page
        if look == "phone":
            await at.page.get_by_role("button", name="List of conversations").click()
            assert await barriers(at.page) == []
        assert at.troubles == []
    async with opened(browser, node, "/login", token="", **LOOKS[look]) as at:
        await expect(at.page.get_by_label("Token of this node")).to_be_focused()
        assert await barriers(at.page) == []


async def test_a_session_is_given_out_deleted_and_taken_in_again(
    browser: Browser, node: Served, host: LocalHost, tmp_path: Path
) -> None:
    ws_id = await talked(host, "night/work: <b>", "words of the night", "c1")
    async with opened(browser, node, "/#/sessions") as at:
        async with at.page.expect_download() as begun:
            await at.page.get_by_role("button", name="JSON file of night/work").click()
        file = await begun.value
        assert file.suggested_filename == "night-work- -b.json"
        await file.save_as(tmp_path / "night.json")

        await at.page.get_by_role("button", name="Delete night/work").click()
        await at.page.get_by_role("button", name="Delete", exact=True).click()
        await expect(at.page.locator("tbody tr")).to_have_count(0)
        assert await host.sessions() == []

        await at.page.get_by_label("Files of sessions").set_input_files(tmp_path / "night.json")
        await expect(at.page.locator(".toast")).to_contain_text(
            ["deleted", "2 messages of night.json"]
        )
        await at.page.get_by_role("button", name="Resume night/work").click()
        await expect(at.page.locator(".block-message")).to_contain_text("words of the night")
        assert at.troubles == []
    [session] = await host.sessions()
    assert (session.ws_id != ws_id, session.closed) == (True, False)


async def test_a_file_that_is_no_session_is_refused_in_words(
    browser: Browser, node: Served, host: LocalHost, tmp_path: Path
) -> None:
    (tmp_path / "notes.md").write_text("only notes\n")
    async with opened(browser, node, "/#/sessions") as at:
        await at.page.get_by_label("Files of sessions").set_input_files(tmp_path / "notes.md")
        await expect(at.page.locator(".toast.error")).to_contain_text("notes.md")
    assert await host.sessions() == []


async def test_memories_are_added_changed_found_and_forgotten(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    await host.remember("deploy", "never on Fridays", "workspace:/srv/site")
    async with opened(browser, node, "/#/memory") as at:
        await at.page.get_by_role("button", name="Add …").click()
        await at.page.get_by_label("Key").fill("Test-Command")
        await at.page.get_by_label("What is to be remembered").fill("make test")
        await at.page.get_by_role("button", name="Keep it").click()
        await expect(at.page.locator(".memory")).to_have_count(2)
        assert [(m.scope, m.key) for m in await host.memories("make")] == [("user", "test_command")]

        await at.page.get_by_role("button", name="Edit test_command").click()
        await at.page.get_by_label("What is to be remembered").fill("make check")
        await at.page.get_by_role("button", name="Keep it").click()
        await expect(at.page.locator(".memory-value").filter(has_text="make check")).to_be_visible()

        await at.page.get_by_label("Where it holds").select_option("workspace:/srv/site")
        await expect(at.page.locator(".memory")).to_have_count(1)
        await at.page.get_by_role("button", name="Forget deploy").click()
        await at.page.get_by_role("button", name="Forget", exact=True).click()
        await expect(at.page.locator(".memory")).to_have_count(0)
    assert [memory.key for memory in await host.memories()] == ["test_command"]


async def test_the_policy_page_tells_what_decided_and_takes_permissions_back(
    browser: Browser, node: Served, host: LocalHost, model: Told
) -> None:
    model.plan = running
    ws_id = (await host.create(CreateWorkstream(name="work"))).id
    await send(host, ws_id, "run touch made", "c1")
    question, _ = await until(host, ws_id, ev.ApprovalAsked, after=None)
    await host.approve(
        Answer(ws_id=ws_id, approved=True, always=True, request_id=question.request_id, by="ann")
    )
    await ending(host, ws_id, "c1")
    async with opened(browser, node, f"/#/policy/{ws_id}") as at:
        matched = at.page.locator(".matched").filter(has_text="allowed by ann")
        await expect(matched).to_contain_text("1 call, allowed")
        await matched.locator("summary").click()
        await expect(matched.locator(".decision")).to_contain_text("touch made")
        await at.page.get_by_role("button", name="Revoke").click()
        await expect(at.page.get_by_text("Nothing was permitted for good.")).to_be_visible()
    assert (await host.policy(ws_id)).grants == []


async def test_a_budget_is_set_on_the_page_of_usage(
    browser: Browser, node: Served, host: LocalHost
) -> None:
    ws_id = await talked(host, "work", "hello", "c1")
    async with opened(browser, node, f"/#/usage/{ws_id}") as at:
        await expect(at.page.get_by_role("row", name="This conversation 1")).to_be_visible()
        await at.page.get_by_label("Tokens").fill("5000")
        await at.page.get_by_label("Money").press_sequentially("1.05")
        await at.page.get_by_role("button", name="Set the budget").click()
        await expect(at.page.get_by_text("5,000 left")).to_be_visible()
    budget = (await host.usage(ws_id)).budget
    assert (budget.tokens, budget.money) == (5000, 1.05)


async def test_settings_are_shown_with_where_they_come_from(
    browser: Browser, host: LocalHost, tmp_path: Path
) -> None:
    path = tmp_path / "turnstone.toml"
    path.write_text('[api]\napi_key = "sk-a-secret"\n\n[session]\ninstructions = "<b>x</b>"\n')
    path.chmod(0o600)
    settings = load_settings(
        "turnstone-server", flags={"config": str(path)}, env={}, home=tmp_path, cwd=tmp_path
    )
    async with serving(host, settings=settings) as node, opened(browser, node, "/#/settings") as at:
        await at.page.get_by_label("Set by").select_option("file")
        rows = at.page.locator("tbody tr")
        await expect(rows).to_have_count(2)
        await expect(rows.filter(has_text="instructions")).to_contain_text('"<b>x</b>"')
        await expect(rows.filter(has_text="instructions")).to_contain_text(f"{path}:5")
        await expect(rows.filter(has_text="api_key")).to_contain_text("a secret, not shown")
        assert "sk-a-secret" not in await at.page.content()


async def test_signing_in_and_out(browser: Browser, node: Served, host: LocalHost) -> None:
    await talked(host, "work", "hello", "c1")
    async with opened(browser, node, "/#/sessions", token="") as at:
        field = at.page.get_by_label("Token of this node")
        await field.fill("a wrong one")
        await field.press("Enter")
        await expect(at.page.get_by_role("alert")).to_contain_text("does not know that token")
        await field.fill("token-that-does-all")
        await field.press("Enter")
        await expect(at.page.locator("tbody tr")).to_have_count(1)
        await at.page.get_by_role("button", name="Sign out", exact=True).first.click()
        await expect(field).to_be_visible()
        await at.page.goto("/login?code=used-up")
        await expect(at.page.get_by_role("alert").first).to_contain_text("used before")


async def test_a_node_that_is_gone_is_told_and_the_page_goes_on_when_it_is_back(
    browser: Browser, host: LocalHost
) -> None:
    await host.remember("colour", "green")
    auth = three_roles()
    async with serving(host, auth=auth) as node:
        async with opened(browser, node, "/#/help") as at:
            await expect(at.page.get_by_text("Connected")).to_be_attached()
            await node.stop()
            await at.page.get_by_role("link", name="Memory").click()
            await expect(at.page.get_by_text("The node cannot be reached.")).to_be_visible()
            async with serving(host, auth=auth, port=node.port):
                await at.page.get_by_role("button", name="Now").click()
                await expect(at.page.locator(".memory-value")).to_have_text("green")
                await expect(at.page.locator(".page-failed")).to_have_count(0)
