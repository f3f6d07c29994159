"""Turns a fetched page into text. What reads it runs apart (`tools.foreign`)."""

from __future__ import annotations

import tempfile

from turnstone.tools.foreign import MAX_TEXT, ForeignReader, TookTooLong
from turnstone.tools.web.fetching import FetchFailed, Page


async def read_page(page: Page, timeout: float, reader: ForeignReader | None = None) -> str:
    """The text of a page: HTML as Markdown. Raises FetchFailed with a sentence."""
    task = {
        "task": "page",
        "kind": page.kind,
        "charset": page.charset,
        "whole": page.whole,
        "url": page.url,
        "max_text": MAX_TEXT,
    }
    with tempfile.TemporaryFile() as file:
        file.write(page.body)
        try:
            found = await (reader or ForeignReader()).read(task, file, timeout)
        except TookTooLong:
            raise FetchFailed(
                f"{page.url} takes more than {timeout:g} s to turn into text."
            ) from None
    if found.error:
        raise FetchFailed(f"{page.url} {found.error}.")
    return found.text
