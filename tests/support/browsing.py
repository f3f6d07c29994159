"""Pages in a real Chromium: opened, signed in, and looked at for what people cannot use.

Whatever a page logs as an error, throws, or asks by a dialog of the browser is kept; a test that
shows hostile text looks there for whether it ran.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, async_playwright, expect

from modelserver import Reply, call, calls, text
from modelserver.plans import echo, last_user_text, tool_results
from support.needs import require
from support.processes import Server
from support.servers import FULL, Served

VENDOR = Path(__file__).resolve().parents[1] / "browser" / "vendor"

#: Milliseconds for a state that must come; more is a failure. The same for all that waits in a
#: browser: what is expected of a page, what is done in it, where it goes.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)

_AXE = """axe.run(document, {resultTypes: ["violations"]}).then((found) => JSON.stringify(
  found.violations.map(({id, impact, nodes}) => [id, impact, nodes.map((node) => node.html)])))"""


def running(body: dict[str, Any]) -> Reply:
    """`run COMMAND` asks for that command; anything else is said again."""
    said = last_user_text(body)
    if tool_results(body):
        return text("It ran.")
    return calls(call("bash", command=said[4:])) if said.startswith("run ") else echo(body)


@dataclass
class Opened:
    """A page, and what went wrong in it since it was opened."""

    page: Page
    troubles: list[str] = field(default_factory=list)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=require("chromium"))
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def opened(
    browser: Browser, node: Served | Server, place: str = "/", token: str = FULL, **context: Any
) -> AsyncIterator[Opened]:
    """The node's page at `place`, in a browser of its own that is signed in. An empty token: it
    is not. `context` are arguments of Playwright's contexts."""
    wide: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
    within = await browser.new_context(base_url=node.url, **wide | context)
    try:
        page = await within.new_page()
        page.set_default_timeout(PATIENCE)
        found = Opened(page)
        _listen(page, found.troubles)
        if token:
            headers = {"origin": node.url}
            await within.request.post("/api/auth/login", data={"token": token}, headers=headers)
        await page.goto(place)
        yield found
    finally:
        await within.close()


def _listen(page: Page, troubles: list[str]) -> None:
    async def asked(dialog: Dialog) -> None:
        troubles.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            troubles.append(f"console: {message.text}")

    page.on("pageerror", lambda error: troubles.append(f"thrown: {error}"))
    page.on("dialog", asked)
    page.on("console", said)


async def barriers(page: Page) -> list[str]:
    """What axe finds on the page as it is that keeps somebody out: its serious and critical
    findings, each with where it was found."""
    # Not as an element of the page: its policy lets in no script but its own.
    session = await page.context.new_cdp_session(page)
    await session.send("Runtime.evaluate", {"expression": _axe()})
    answer = await session.send(
        "Runtime.evaluate", {"expression": _AXE, "awaitPromise": True, "returnByValue": True}
    )
    found = json.loads(answer["result"]["value"])
    return [
        f"{name} ({impact}): {places[0][:200]}"
        for name, impact, places in found
        if impact in ("serious", "critical")
    ]


def _axe() -> str:
    """The program, which must be the one that the manifest names."""
    content = (VENDOR / "axe.min.js").read_bytes()
    [library] = json.loads((VENDOR / "manifest.json").read_text())["libraries"]
    assert sha256(content).hexdigest() == library["files"][0]["sha256"]
    return content.decode()
