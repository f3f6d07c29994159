"""A picture of every page, in light, in dark and on a phone, for people to look at: in the folder
that the variable SCREENSHOTS names, else where pytest keeps its own. About 20 seconds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from modelserver import Reply, call, calls, text
from support.browsing import opened
from support.hosts import Told
from support.servers import Served, serving
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.config import load_settings
from turnstone.core.host import Answer, CreateWorkstream
from turnstone.core.local_host import LocalHost

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 800}, "device_scale_factor": 2},
}

_WORDS = """## What I found

The *first* service to fail was **billing**, at `12:04:09`.

| Service | Failed at | Cause |
| --- | --- | --- |
| billing | 12:04:09 | no room on the disk |
| mail | 12:05:40 | billing did not answer |

1. Free some room: see [the notes](https://example.org/notes).
2. Start it again:

```python
def restart(name: str) -> None:
    print(f"restarting {name}")  # and wait
```
"""


def plan(body: dict[str, Any]) -> Reply:
    said = body["messages"][-1]
    if said["role"] == "tool":
        return text(_WORDS, reasoning="The log says it.\nSo I can answer.")
    return {
        "write": calls(call("write_file", path="notes.txt", content="one\ntwo\n")),
        "ask": calls(call("bash", command="df -h / && ls -la /var/log | head -20")),
        "plan": calls(call("plan", prompt="free some room")),
    }.get(said["content"], text("# The plan\n\n1. Look for what is large.\n2. Ask what may go.\n"))


@pytest.fixture(name="pictures")
def _pictures(tmp_path: Path) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def talked(host: LocalHost, name: str, message: str, **answer: Any) -> str:
    """A workstream in which this was said; with an answer, to the first question too."""
    ws_id = (await host.create(CreateWorkstream(name=name))).id
    cid = name.replace(" ", "-")
    await send(host, ws_id, message, cid)
    if message != "hello":
        asked, _ = await until(host, ws_id, ev.ApprovalAsked, cid)
        if answer:
            await host.approve(Answer(ws_id=ws_id, request_id=asked.request_id, **answer))
    if answer and message == "plan":
        await until(host, ws_id, ev.PlanAsked, cid)
    elif answer or message == "hello":
        await ending(host, ws_id, cid)
    return ws_id


async def taken(page: Page, file: Path) -> None:
    """One that is no picture of an empty page, and shows all of its width."""
    await expect(
        page.locator(".loading, .page-loading, .page-failed, .md[aria-busy]")
    ).to_have_count(0)
    wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1], file.name
    await page.screenshot(path=file)
    assert file.stat().st_size > 5_000, file.name


@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_has_its_picture(
    browser: Browser, host: LocalHost, model: Told, pictures: Path, tmp_path: Path, look: str
) -> None:
    model.plan = plan
    settings = load_settings("turnstone-server", flags={}, env={}, home=tmp_path, cwd=tmp_path)
    wrote = await talked(host, "notes of the night", "write", approved=True, by="ann")
    shown = {
        "conversation": (f"ws/{wrote}", ".answer .md"),
        "question": (f"ws/{await talked(host, 'room', 'ask')}", "article.ask"),
        "plan": (f"ws/{await talked(host, 'cleaning', 'plan', approved=True)}", ".plan-read"),
        "beginning": (f"ws/{(await host.create(CreateWorkstream(name='new'))).id}", ".composer"),
        "start": ("", ".node-empty"),
        "sessions": ("sessions", "tbody tr"),
        "memory": ("memory", ".memory"),
        "policy": (f"policy/{wrote}", ".matched"),
        "usage": (f"usage/{wrote}", "table"),
        "settings": ("settings", "tbody tr"),
        "help": ("help", "main h1"),
    }
    await host.remember("test_command", "make check, never make test")
    async with serving(host, settings=settings) as node:
        await photographed(browser, node, shown, pictures, look)


async def photographed(
    browser: Browser, node: Served, shown: dict[str, tuple[str, str]], pictures: Path, look: str
) -> None:
    async with opened(browser, node, **LOOKS[look]) as at:
        for name, (place, there) in shown.items():
            await at.page.goto(f"/#/{place}")
            await expect(at.page.locator(there).first).to_be_visible()
            await taken(at.page, pictures / f"{name}-{look}.png")
        if look == "phone":
            await at.page.get_by_role("button", name="List of conversations").click()
            await expect(at.page.locator("[data-row]").first).to_be_in_viewport()
            await taken(at.page, pictures / "list-phone.png")
        assert at.troubles == []
    async with opened(browser, node, "/login", token="", **LOOKS[look]) as at:
        await expect(at.page.get_by_label("Token of this node")).to_be_focused()
        await taken(at.page, pictures / f"login-{look}.png")
