"""Images and texts that go with a message: pasted, dropped, chosen, left out, sent, refused, seen
again. About 15 seconds."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from modelserver.plans import echo
from support.browsing import barriers, opened
from support.memory_queue import until
from support.nodes import local_node
from support.servers import serving
from turnstone.core.host import CreateWorkstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: A pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

#: Hands a file to a place, as a person's clipboard or hand would.
_HAND = """(place, [kind, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  const files = new DataTransfer();
  files.items.add(new File([bytes], name, { type }));
  const given = { bubbles: true, cancelable: true };
  place.dispatchEvent(kind === "paste"
    ? new ClipboardEvent(kind, { ...given, clipboardData: files })
    : new DragEvent(kind, { ...given, dataTransfer: files }));
}"""


async def handed(place: Locator, kind: str, name: str, media_type: str, content: bytes) -> None:
    await place.evaluate(_HAND, [kind, name, media_type, base64.b64encode(content).decode()])


def files(page: Page) -> Locator:
    return page.get_by_role("list", name="Files of this message")


async def loaded(image: Locator) -> None:
    """The picture is there, not only its place."""
    await expect(image).to_have_js_property("naturalWidth", 1)


async def test_images_and_texts_go_with_a_message_and_are_seen_again(
    browser: Browser, tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    async with (
        local_node(tmp_path, echo, vision=True, outputs=outputs) as within,
        serving(within.host) as node,
    ):
        ws_id = (await within.host.create(CreateWorkstream())).id
        async with opened(browser, node, f"/#/ws/{ws_id}") as at:
            page = at.page
            field = page.get_by_label("Message", exact=True)
            await handed(field, "paste", "<b>pasted</b>.png", "image/png", PNG)
            await loaded(files(page).locator("img"))
            # Anywhere on the page: a browser would leave it to show the file.
            await handed(page.locator("main h1"), "drop", "notes.txt", "", b"the whole text")
            chosen: FilePayload = {"name": "x.bin", "mimeType": "", "buffer": b"\xff\xfe\x00"}
            more: FilePayload = {"name": "more.txt", "mimeType": "", "buffer": b"not this"}
            await page.get_by_label("Files", exact=True).set_input_files([chosen, more])
            await expect(page.locator(".toast.error")).to_contain_text("x.bin is neither text")
            await page.get_by_role("button", name="Close this remark").click()
            await page.get_by_role("button", name="Leave out more.txt").click()
            await expect(files(page).get_by_role("listitem")).to_have_count(3)
            assert await barriers(page) == []

            await field.fill("look at these")
            await field.press("Enter")
            said = page.locator(".said")
            for _ in ("live", "read later"):
                await expect(said.locator(".said-text")).to_have_text("look at these")
                await loaded(said.get_by_role("img", name="<b>pasted</b>.png"))
                await said.get_by_text("notes.txt").click()
                await expect(said.get_by_label("notes.txt")).to_have_text("the whole text")
                assert await barriers(page) == []
                await page.reload()

            await page.get_by_role("button", name="Retry").click()
            await until(lambda: len(within.model.requests) == 2)  # before, the page is as it was
            await expect(said).to_have_count(1)
            await expect(page.locator(".answer")).to_have_count(1)
            await loaded(said.get_by_role("img"))
            assert at.troubles == []
        images = [_images(each) for each in within.model.requests]
        assert [len(found) for found in images] == [1, 1]
        assert base64.b64decode(images[0][0].partition(",")[2]) == PNG


def _images(request: dict[str, Any]) -> list[str]:
    """What a request of the model has as images."""
    contents = [m["content"] for m in request["messages"] if isinstance(m["content"], list)]
    return [p["image_url"]["url"] for parts in contents for p in parts if "image_url" in p]


async def test_a_message_that_is_refused_for_its_image_stays_where_it_was_written(
    browser: Browser, tmp_path: Path
) -> None:
    async with local_node(tmp_path, echo) as within, serving(within.host) as node:
        ws_id = (await within.host.create(CreateWorkstream())).id
        async with opened(browser, node, f"/#/ws/{ws_id}") as at:
            field = at.page.get_by_label("Message", exact=True)
            await handed(field, "paste", "a.png", "image/png", PNG)
            await field.fill("look")
            await field.press("Enter")
            told = at.page.locator(".toast.error")
            await expect(told).to_contain_text("takes no images")
            await expect(field).to_have_value("look")
            await loaded(files(at.page).locator("img"))
            await at.page.get_by_role("button", name="Leave out a.png").click()
            await field.press("Enter")
            await expect(at.page.locator(".answer .md")).to_have_text("look")
            await expect(at.page.locator(".said img")).to_have_count(0)
