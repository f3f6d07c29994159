"""The page of a conversation while much arrives, and when much is there already.

    python bench/page.py [TOKENS [PER_SECOND]]

An answer in Markdown arrives in a real Chromium while somebody types: frames of the screen in a
second, how long a key takes until it is painted, and how busy the page's thread is. Beside it, in
the same run: the same page with nothing arriving. Then a conversation of 2,000 messages is opened.
Model and node are processes of their own; with the browser that makes more than two cores carry.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from playwright.async_api import Browser, CDPSession, Page, async_playwright

from support import report
from support.modelprocess import model_process
from support.nodeprocess import node_process

TOKENS, PER_SECOND = 100_000, 500
MESSAGES = 2_000
ROUNDS = 5
PATIENCE = 600.0

#: The goals: frames a second, milliseconds from a key to its frame.
LEAST, SLOWEST = 50, 50.0

#: Seconds for which the page is looked at with nothing arriving, and between two keys.
STILL, KEYS = 10.0, 0.25

#: Notes the milliseconds between frames, and from each key until a frame with it is painted.
_WATCH = """() => {
  const found = (window.found = { gaps: [], keys: [] });
  let last = performance.now();
  const frame = (now) => {
    found.gaps.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  addEventListener("keydown", (event) => {
    requestAnimationFrame(() => setTimeout(() => found.keys.push(performance.now() - event.timeStamp)));
  }, true);
}"""

_TAKE = "() => { const { gaps, keys } = window.found; return [gaps.splice(0), keys.splice(0)]; }"


@dataclass
class Seen:
    """What was noted in a while: milliseconds, and the CPU of the page's thread as a share."""

    gaps: list[float]
    keys: list[float]
    busy: float

    @property
    def frames(self) -> float:
        """A second."""
        return 1000 * len(self.gaps) / sum(self.gaps)


def of_100(values: list[float], place: int) -> float:
    return statistics.quantiles(values, n=100)[place - 1]


async def made(client: httpx2.AsyncClient) -> str:
    answer = await client.post("/api/workstreams/new", json={})
    return str(answer.raise_for_status().json()["ws_id"])


async def said(client: httpx2.AsyncClient, ws_id: str) -> None:
    body = {"ws_id": ws_id, "message": "Go on."}
    (await client.post("/api/send", json=body)).raise_for_status()


@asynccontextmanager
async def opened(browser: Browser, node: str) -> AsyncIterator[tuple[Page, CDPSession]]:
    context = await browser.new_context(base_url=node, viewport={"width": 1280, "height": 860})
    page = await context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    session = await context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    yield page, session
    await context.close()


async def work(session: CDPSession) -> float:
    """Seconds of CPU time of the page's thread."""
    metrics: dict[str, Any] = await session.send("Performance.getMetrics")
    return next(float(m["value"]) for m in metrics["metrics"] if m["name"] == "TaskDuration")


async def typed(page: Page, session: CDPSession, over: asyncio.Future[Any]) -> Seen:
    """What is seen until it is over, while somebody types."""
    await page.evaluate(_TAKE)
    begun, worked = time.perf_counter(), await work(session)
    while not over.done():
        await page.keyboard.press("x")
        await asyncio.wait({over}, timeout=KEYS)
    gaps, keys = await page.evaluate(_TAKE)
    took = time.perf_counter() - begun
    return Seen(gaps, keys, (await work(session) - worked) / took)


async def arriving(browser: Browser, node: str, tokens: int) -> None:
    async with httpx2.AsyncClient(base_url=node, timeout=PATIENCE) as client:
        ws_id = await made(client)
        async with opened(browser, node) as (page, session):
            await page.goto(f"/#/ws/{ws_id}")
            await page.get_by_label("Message", exact=True).focus()
            await page.evaluate(_WATCH)
            still = await typed(page, session, asyncio.ensure_future(asyncio.sleep(STILL)))
            await said(client, ws_id)
            begun = time.perf_counter()
            ending = page.locator(".block-ending").wait_for(state="attached")
            seen = await typed(page, session, asyncio.ensure_future(ending))
            took = time.perf_counter() - begun
    last = Seen(seen.gaps[-max(1, len(seen.gaps) // 10) :], [], 0.0)
    report.line(f"{tokens} tokens, as fast as they came", tokens / took, "tokens/s")
    for what, found in (("", seen), (", the last tenth of them", last)):
        met = "met" if found.frames >= LEAST else "MISSED"
        beside = f"goal {LEAST}: {met}; none arriving: {still.frames:.0f}"
        report.line(f"  frames a second{what}", found.frames, "", beside=beside)
    percentiles("  a frame after the one before", seen.gaps, still.gaps, None)
    percentiles("  a key until it is painted", seen.keys, still.keys, SLOWEST)
    beside = f"none arriving: {100 * still.busy:.0f} %"
    report.line("  CPU of the page's thread", 100 * seen.busy, "%", beside=beside)


def percentiles(what: str, found: list[float], still: list[float], goal: float | None) -> None:
    for place in (50, 95, 99):
        beside = f"none arriving: {of_100(still, place):.0f} ms"
        limit = goal if place == 95 else None
        report.line(f"{what}, {place} of 100", of_100(found, place), "ms", limit, beside)


async def long_one(client: httpx2.AsyncClient) -> str:
    """A workstream of that many messages, half of them answers."""
    ws_id = await made(client)
    async with client.stream("GET", "/api/events", params={"ws": ws_id}) as stream:
        lines = stream.aiter_lines()
        for _ in range(MESSAGES // 2):
            await said(client, ws_id)
            async for line in lines:
                if '"type":"turn_ended"' in line:
                    break
    return ws_id


async def opening(browser: Browser, node: str) -> None:
    """From the click until the last answer is on the screen."""
    async with httpx2.AsyncClient(base_url=node, timeout=PATIENCE) as client:
        ws_id, other = await long_one(client), await made(client)
        times: dict[str, list[float]] = {"click": [], "page": []}
        for _ in range(ROUNDS):
            async with opened(browser, node) as (page, _session):
                begun = time.perf_counter()
                await page.goto(f"/#/ws/{ws_id}")
                await shown(page)
                times["page"].append(1000 * (time.perf_counter() - begun))
            async with opened(browser, node) as (page, _session):
                await page.goto(f"/#/ws/{other}")
                await page.locator(f'[data-row="{ws_id}"]').wait_for()
                begun = time.perf_counter()
                await page.locator(f'[data-row="{ws_id}"]').click()
                await shown(page)
                times["click"].append(1000 * (time.perf_counter() - begun))
    for what, name in (("chosen from the list", "click"), ("the whole page with it", "page")):
        told = f"{MESSAGES} messages, {what}, median"
        report.line(
            told, statistics.median(times[name]), "ms", 1000, f"worst: {max(times[name]):.0f} ms"
        )


async def shown(page: Page) -> None:
    await page.locator(".answer .md-block").last.wait_for()
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


async def main(tokens: int, rate: float) -> None:
    report.machine()
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("chromium is not installed (Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path)
        with report.folder() as folder:
            with (
                model_process(tokens, 1000 / rate, "markdown") as model,
                node_process(folder / "arriving", model) as (node, _pid),
            ):
                await arriving(browser, node, tokens)
            with (
                model_process(200, 0, "markdown") as model,
                node_process(folder / "opening", model) as (node, _pid),
            ):
                await opening(browser, node)
        await browser.close()


if __name__ == "__main__":
    given = dict(enumerate(sys.argv[1:]))
    asyncio.run(main(int(given.get(0, TOKENS)), float(given.get(1, PER_SECOND))))
