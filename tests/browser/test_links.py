"""Links in what a model says: each tells where it leads, also where its address stands elsewhere in
the text. About 5 seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from modelserver import Reply, text
from support.browsing import opened
from support.nodes import local_node
from support.servers import serving
from support.watching import send
from turnstone.core.host import CreateWorkstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Words, where they lead, and what is shown of both.
LINKS = [
    ("docs", "https://a.com/x", "docs (a.com)"),
    ("a.com", "https://a.com/x", "a.com"),
    ("https://a.com/x", "https://a.com/x", "https://a.com/x"),
    ("a.com/x", "https://a.com/y", "a.com/x"),
    ("www.bank.com", "https://k.com", "www.bank.com (k.com)"),
    ("bank.com", "https://bank.com.k.com", "bank.com (bank.com.k.com)"),
    ("k.com is bank.com", "https://k.com", "k.com is bank.com (k.com)"),
    ("https://bank.com/@k.com", "https://k.com", "https://bank.com/@k.com (k.com)"),
    ("b\u0430nk.com", "https://b\u0430nk.com", "b\u0430nk.com"),
    ("me@a.com", "mailto:me@a.com", "me@a.com"),
    ("me@a.com", "mailto:you@k.com", "me@a.com (you@k.com)"),
]


async def test_a_link_cannot_pass_for_one_to_another_host(browser: Browser, tmp_path: Path) -> None:
    def links(body: dict[str, Any]) -> Reply:
        written = [f"[{words}]({address})" for words, address, _ in LINKS]
        late = ["[late]: https://k.com/x", "[bad]: javascript:void(0)", "[late]: https://a.com"]
        return text("\n\n".join(["[a.com][Late] and [x][bad]", *written, "the end", *late]))

    async with local_node(tmp_path, links) as within, serving(within.host) as served:
        ws_id = (await within.host.create(CreateWorkstream())).id
        async with opened(browser, served, f"/#/ws/{ws_id}") as at:
            await expect(at.page.get_by_label("Message", exact=True)).to_be_visible()
            await send(within.host, ws_id, "go", "c1")
            shown_links = at.page.locator(".md a")
            # The one whose address came last of all, and was defined once before.
            await expect(shown_links).to_have_text(
                ["a.com (k.com)", *(shown for *_, shown in LINKS)]
            )
            assert at.troubles == []
