"""Texts that try to be more than text, in every place of the page that shows some: none of them
runs, none becomes markup, none asks for anything elsewhere. About 60 seconds."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from modelserver import Reply, calls, error, hold, raw_call, text
from support.browsing import Opened, opened
from support.nodes import local_node
from support.page_attacks import CANARY, FOREIGN, HIDDEN, MEGABYTE, PAYLOADS, plain
from support.servers import Served, serving
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.config import load_settings
from turnstone.core.host import Answer, CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost
from turnstone.core.policy_rules import Rule, Rules
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult, ToolSpec

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Of one message.
MOST_FILES = 8

#: That a page has looked at what was answered; the turn does not end before.
LOOKED = threading.Event()

#: What is asked once, of everything that a person reads or is read aloud.
_TEXTS = """() => [document.title, document.body.textContent,
  ...[...document.querySelectorAll("[aria-label], [title], [placeholder]")].flatMap((each) =>
    ["aria-label", "title", "placeholder"].map((name) => each.getAttribute(name) ?? "")),
].join("\\n")"""


class Shows:
    """A tool whose header, preview, output and question are the text number `n`."""

    def __init__(self, name: str, *, asked: bool) -> None:
        self.spec = ToolSpec(
            name=name,
            description="Shows.",
            parameters={"type": "object", "properties": {"n": {"type": "integer"}}},
            auto_approve=not asked,
        )

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        shown = [*PAYLOADS, MEGABYTE][arguments["n"]]
        return Prepared(
            tool=self.spec.name,
            arguments={**arguments, "text": shown[:5_000]},
            effect="effect",
            header=shown[:5_000],
            preview=f"It shows:\n{shown}",
            label=shown[:200],
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        emit(prepared.preview)
        return ToolResult("error", prepared.preview)

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None


def written() -> str:
    """Every payload in every place that Markdown has for one."""
    parts = []
    for n, bad in enumerate(PAYLOADS):
        cell = bad.replace("|", "\\|")
        fence = "`" * 5
        parts += [
            bad,
            f"# {bad}",
            f"- {bad}\n- [ ] {bad}\n\n> {bad}",
            f"| {cell} | b |\n| --- | --- |\n| {cell} | **{cell}** |",
            f"[{bad}](https://shown.invalid/{n}) [x]({bad}) [x](<{bad}>) [x](javascript:{bad})",
            f"![{bad}](https://shown.invalid/{n}.png) ![x]({bad}) [r{n}]\n\n[r{n}]: {bad}",
            f"{fence}{bad.replace('`', '')}\n{bad}\n{fence}",
            f"`` {bad} `` and {bad}",
            f"~~~html\n{bad}\n~~~",
        ]
    return "\n\n".join(parts)


def plan(body: dict[str, Any]) -> Reply:
    """By the last that was said."""
    messages = body["messages"]
    place = max(n for n, message in enumerate(messages) if message["role"] == "user")
    said = messages[place]["content"]
    if len(messages) > place + 1:
        over = text("It is over.")
        return hold(over, LOOKED, before=0) if said == "asks" else over
    each = range(len(PAYLOADS))
    if said == "names":
        return calls(*(raw_call(bad, bad, call_id=bad) for bad in PAYLOADS))
    if said in ("shows", "asks"):
        return calls(*(raw_call(said, f'{{"n": {n}}}') for n in each))
    if said == "long":
        return calls(raw_call("shows", f'{{"n": {len(PAYLOADS)}}}'))
    if said == "long words":
        return text(MEGABYTE, chunk=100_000, reasoning=MEGABYTE)
    if said == "fails":
        return error(400, "\n".join(PAYLOADS))
    if said == "markdown":
        return text(written(), reasoning="\n".join(PAYLOADS), chunk=2_000)
    return text("Heard.")


@asynccontextmanager
async def node(
    folder: Path, rules: Rules | None = None, **app: Any
) -> AsyncIterator[tuple[LocalHost, Served]]:
    tools = {"shows": Shows("shows", asked=False), "asks": Shows("asks", asked=True)}
    async with (
        local_node(
            folder, plan, tools=tools, model_name="<b>model</b>\u202e", rules=rules or Rules()
        ) as within,
        serving(within.host, **app) as served,
    ):
        yield within.host, served


@asynccontextmanager
async def watched(browser: Browser, served: Served, **context: Any) -> AsyncIterator[Opened]:
    """A page that notes what it asks for. Nothing may go wrong in it, and nothing go elsewhere."""
    async with opened(browser, served, "about:blank", **context) as at:
        asked: list[str] = []
        at.page.context.on("request", lambda request: asked.append(request.url))
        at.page.context.on("page", lambda page: asked.append(f"a window: {page.url}"))
        await at.page.add_init_script(CANARY)
        yield at
        own = (f"{served.url}/", f"blob:{served.url}/")
        assert [url for url in asked if not url.startswith(own)] == []
        assert asked != []
        refused = "console: Failed to load resource: the server responded with a status of 4"
        assert [each for each in at.troubles if not each.startswith(refused)] == []


async def harmless(page: Page) -> None:
    """Nothing ran, nothing became an element of the page, nothing is hidden in what is shown."""
    assert await page.evaluate(FOREIGN) == []
    shown = await page.evaluate(_TEXTS)
    found = HIDDEN.search(shown)
    assert found is None, repr(shown[max(0, found.start() - 60) : found.end() + 20])


async def holds(place: Locator, payloads: Iterable[str] = PAYLOADS) -> None:
    """Every payload can be read there, as it is."""
    whole = plain("\n".join(await place.all_text_contents()))
    assert [bad for bad in payloads if plain(bad) not in whole] == []


async def all_open(page: Page) -> None:
    """Unfold everything, and put all of the conversation on the page; long answers are drawn over
    some frames of the screen."""
    while await page.locator(".transcript-more").count():
        await page.locator(".transcript-more").dispatch_event("click")
        await page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    await expect(page.locator(".md[aria-busy]")).to_have_count(0)
    await page.evaluate(
        "for (const each of document.querySelectorAll('details')) each.open = true;"
        "new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
    )
    await page.evaluate(
        "for (const each of document.querySelectorAll('button'))"
        "  if (each.textContent.trim().startsWith('Show all')) each.click();"
        "new Promise((done) => requestIdleCallback(done, { timeout: 2000 }))"
    )


async def test_what_a_model_says_is_text(browser: Browser, tmp_path: Path) -> None:
    async with node(tmp_path) as (host, served), watched(browser, served) as at:
        ws_id = (await host.create(CreateWorkstream())).id
        await at.page.goto(f"/#/ws/{ws_id}")
        await expect(at.page.get_by_label("Message", exact=True)).to_be_visible()
        bad = "\n".join(PAYLOADS)
        asked = SendMessage(ws_id=ws_id, message=bad, correlation_id="c1", sender=bad)
        await host.send(asked)
        await send(host, ws_id, "markdown", "c2")
        await send(host, ws_id, "fails", "c3")
        await ending(host, ws_id, "c3")
        for _ in ("live", "read later"):
            await expect(at.page.locator(".ending.bad")).to_have_count(1)
            await all_open(at.page)
            await harmless(at.page)
            await holds(at.page.locator(".said"))
            await holds(at.page.locator(".reasoning"))
            await holds(at.page.locator(".md pre code"))
            await only_safe_links(at.page)
            await at.page.reload()


async def only_safe_links(page: Page) -> None:
    """A link of the text says where it leads, and tells nothing of this page there."""
    links = await page.locator(".md a").evaluate_all(
        "(all) => all.map((each) => [each.href, each.rel, each.title, each.textContent])"
    )
    assert len(links) > len(PAYLOADS)
    for address, rel, title, shown in links:
        assert address.startswith(("https://", "http://", "mailto:")), address
        assert (rel, bool(title)) == ("noopener noreferrer", True), address
        assert address.partition("://")[2].partition("/")[0] in shown, address


async def test_what_tools_and_questions_show_is_text(browser: Browser, tmp_path: Path) -> None:
    async with node(tmp_path) as (host, served), watched(browser, served) as at:
        ws_id = (await host.create(CreateWorkstream())).id
        await at.page.goto(f"/#/ws/{ws_id}")
        await expect(at.page.get_by_label("Message", exact=True)).to_be_visible()
        for cid in ("names", "shows"):
            await send(host, ws_id, cid, cid)
            await ending(host, ws_id, cid)
        for _ in ("live", "read later"):
            await expect(at.page.locator(".answer").last).to_contain_text("It is over.")
            await all_open(at.page)
            cards = at.page.locator(".tool")
            await expect(cards).to_have_count(2 * len(PAYLOADS))
            await holds(cards.locator(".tool-name"))
            await holds(cards.get_by_label("What it does"), short(PAYLOADS))
            await holds(cards.get_by_label("Result"), short(PAYLOADS))
            unquoted = [
                bad for bad in short(PAYLOADS) if '{"' not in bad
            ]  # JSON spells it otherwise
            await holds(cards.get_by_label("Arguments"), unquoted)
            await harmless(at.page)
            await at.page.reload()

        LOOKED.clear()
        await send(host, ws_id, "asks", "c3")
        card = at.page.locator("article.ask")
        await expect(card).to_have_count(1)
        await all_open(at.page)
        await holds(card.locator(".ask-header"))
        await holds(card.get_by_label("What would be done"))
        await harmless(at.page)
        asked, _ = await until(host, ws_id, ev.ApprovalAsked, "c3")
        bad = "\n".join(PAYLOADS)
        await host.approve(Answer(ws_id=ws_id, request_id=asked.request_id, feedback=bad, by=bad))
        await expect(at.page.locator(".ask-elsewhere")).to_have_count(1)
        await holds(at.page.locator(".ask-elsewhere"))
        await harmless(at.page)
        LOOKED.set()
        await ending(host, ws_id, "c3")
        await expect(at.page.locator(".tool-denied")).to_have_count(len(PAYLOADS))
        await harmless(at.page)


def short(payloads: Iterable[str]) -> list[str]:
    """Those that are shown whole where a line may have no more than a thousand characters."""
    return [bad for bad in payloads if len(bad) < 1_000]


async def test_a_line_of_a_megabyte_is_text(browser: Browser, tmp_path: Path) -> None:
    async with node(tmp_path) as (host, served), watched(browser, served) as at:
        ws_id = (await host.create(CreateWorkstream(name=MEGABYTE[499_900:500_200]))).id
        await at.page.goto(f"/#/ws/{ws_id}")
        for cid in ("long", "long words"):
            await send(host, ws_id, cid, cid)
            await ending(host, ws_id, cid)
        await expect(at.page.locator(".answer")).to_have_count(2)
        await all_open(at.page)
        await harmless(at.page)
        shown = await at.page.locator(".answer .md").last.text_content()
        assert shown is not None
        assert plain(MEGABYTE)[-1000:] in shown


async def test_names_titles_and_memories_are_text(browser: Browser, tmp_path: Path) -> None:
    async with node(tmp_path) as (host, served), watched(browser, served) as at:
        made = [(await host.create(CreateWorkstream(name=bad))).id for bad in PAYLOADS]
        for n, ws_id in enumerate(made):
            await send(host, ws_id, "hello", f"c{n}")
        for n, bad in enumerate(PAYLOADS):
            await host.remember(key(bad, n), bad, "user" if n % 2 else f"workspace:/{key(bad, n)}")
        await at.page.goto("/")
        rows = at.page.locator("[data-row]")
        await expect(rows).to_have_count(len(PAYLOADS))
        await holds(rows)
        await harmless(at.page)
        for place, names in (("sessions", ".node-main tbody tr"), ("memory", ".memory")):
            await at.page.goto(f"/#/{place}")
            await expect(at.page.locator(names)).to_have_count(len(PAYLOADS))
            await holds(at.page.locator(names))
            await harmless(at.page)
        for place in ("policy", "usage"):
            await at.page.goto(f"/#/{place}")
            await expect(at.page.locator("main option")).to_have_count(len(PAYLOADS) + 1)
            await holds(at.page.locator("main option"), [bad for bad in PAYLOADS if len(bad) < 80])
            await harmless(at.page)
        for ws_id, bad in zip(made, PAYLOADS, strict=True):
            await at.page.evaluate("(to) => { location.hash = to; }", f"#/ws/{ws_id}")
            heading = at.page.locator(f'.node-side [data-row="{ws_id}"][aria-current=page]')
            await expect(heading).to_have_count(1)
            await holds(at.page.locator("h1"), [bad])
            assert await at.page.evaluate(FOREIGN) == []
        await at.page.get_by_role("searchbox", name="Filter the list").fill("<img")
        await expect(rows.first).to_contain_text("<img")
        await harmless(at.page)


def key(bad: str, n: int) -> str:
    """A key that a memory can have, as near as can be to the payload."""
    return f"{n}{''.join(char for char in bad if char.isprintable())[:150]}"


async def test_files_errors_and_addresses_are_text(browser: Browser, tmp_path: Path) -> None:
    async with node(tmp_path) as (host, served), watched(browser, served) as at:
        ws_id = (await host.create(CreateWorkstream())).id
        await at.page.goto(f"/#/ws/{ws_id}")
        named = [bad for bad in PAYLOADS if "\u0085" not in bad and len(bad) < 200]
        files: list[FilePayload] = [
            {"name": bad.replace("/", "∕"), "mimeType": "text/plain", "buffer": bad.encode()}
            for bad in named
        ]
        taken = at.page.locator(".composer li")
        for n in range(0, len(files), MOST_FILES):
            some = files[n : n + MOST_FILES]
            await at.page.locator(".composer input[type=file]").set_input_files(some)
            await expect(taken).to_have_count(len(some) + 1)  # and what can be taken
            await holds(taken, [file["name"] for file in some])
            await harmless(at.page)
            for _ in some:
                await taken.get_by_role("button").first.dispatch_event("click")
            await expect(taken).to_have_count(0)

        field = at.page.get_by_label("Message", exact=True)
        refused: list[str] = []
        for bad in short(PAYLOADS):
            reply = await host.command(ws_id, f"/{bad}")
            assert reply.error, bad
            refused.append(reply.text)
        told = [same for same, _ in groupby(refused)]  # what is said again at once is shown once
        await field.fill(f"/{' '.join(short(PAYLOADS))}")
        shown, earlier = at.page.locator(".notice.error"), at.page.locator(".transcript-more")
        # A page whose stream began anew meanwhile shows the newest part first.
        await expect(earlier.or_(shown.nth(len(told) - 1)).first).to_be_attached()
        if await earlier.count():
            await earlier.dispatch_event("click")
        await expect(shown).to_have_count(len(told))
        await harmless(at.page)

        await at.page.goto("/#/sessions")
        images: list[FilePayload] = [file | {"mimeType": "image/png"} for file in files]
        await at.page.get_by_label("Files of sessions").set_input_files(images)
        await expect(at.page.locator(".toast.error").last).to_be_visible()
        await harmless(at.page)

        for n, bad in enumerate(PAYLOADS):
            place = [f"ws/{bad}", f"policy/{bad}", bad, f"ws/{ws_id}/at/{bad}/1"][n % 4]
            await at.page.evaluate("(to) => { location.hash = to; }", f"#/{place}")
            await at.page.evaluate("new Promise((done) => setTimeout(done))")
            await harmless(at.page)
        await at.page.goto("/#/help")
        await expect(at.page.locator("main h1")).to_be_visible()


async def test_rules_permissions_and_settings_are_text(browser: Browser, tmp_path: Path) -> None:
    each = tuple(Rule(bad, f"rule-{n}") for n, bad in enumerate(PAYLOADS))
    rules = Rules(allow=each, ask=(*each, Rule("\n".join(PAYLOADS), "asks")), deny=each)
    instructions = " ".join(bad for bad in PAYLOADS if bad.isprintable() and "'" not in bad)
    file = tmp_path / "turnstone.toml"
    file.write_text(f"[session]\ninstructions = '{instructions}'\n")
    settings = load_settings(
        "turnstone-server", flags={"config": str(file)}, env={}, home=tmp_path, cwd=tmp_path
    )
    async with (
        node(tmp_path, rules=rules, settings=settings) as (host, served),
        watched(browser, served) as at,
    ):
        ws_id = (await host.create(CreateWorkstream())).id
        await send(host, ws_id, "asks", "c1")
        asked, _ = await until(host, ws_id, ev.ApprovalAsked, "c1")
        LOOKED.set()
        await host.approve(Answer(ws_id=ws_id, request_id=asked.request_id, by=PAYLOADS[0]))
        await ending(host, ws_id, "c1")
        await at.page.goto(f"/#/policy/{ws_id}")
        listed = at.page.locator("dl.rules .rule")
        await expect(listed).to_have_count(3 * len(PAYLOADS) + 2)  # and `shows`, which runs unasked
        await all_open(at.page)
        await holds(listed)
        await expect(at.page.locator(".matched")).not_to_have_count(0)
        await harmless(at.page)
        await at.page.goto("/#/settings")
        values = at.page.locator("tbody tr").filter(has_text="instructions")
        await expect(values.first).to_contain_text("<script>")
        await holds(values, [instructions.replace("\\", "\\\\").replace('"', '\\"')])
        await harmless(at.page)
