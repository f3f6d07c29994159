"""The tool `web_fetch`: one page, and the answer to a question about it.

Fetches from the host that was decided about and from no other; what a page says is handed to
a model as material between marks. An effect: an address may be good for one request only, so
a fetch that a crash interrupted is told as unknown and never repeated.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core.ask import Ask
from turnstone.core.errors import BlockedDestination, ModelUnavailable, ToolRefused
from turnstone.core.prompts import extraction_prompts
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.foreign import ForeignReader
from turnstone.tools.spec import load_spec
from turnstone.tools.text import cut_middle, one_line, visible
from turnstone.tools.web.connecting import NoAddress, Unreachable
from turnstone.tools.web.fetching import MAX_BODY, Fetcher, FetchFailed, Page
from turnstone.tools.web.reading import read_page
from turnstone.tools.web.urls import host_of, parse

#: Characters of a page that a model is asked about: of longer ones the head and the tail.
MAX_PAGE = 50_000

#: Tokens of an answer.
MAX_ANSWER = 2_000

#: Seconds for turning a page into text, and for the answer. Models take their time.
READ_TIMEOUT = 20.0
ASK_TIMEOUT = 120.0

_MAX_QUESTION = 10_000


class FetchArguments(msgspec.Struct, frozen=True):
    url: str
    question: str


class WebFetch:
    """Where nobody answers questions about a page, the page itself is the result. `reader` turns
    pages into text; by default without a sandbox."""

    def __init__(self, fetcher: Fetcher, reader: ForeignReader | None = None) -> None:
        self.spec = load_spec("web_fetch")
        self._fetcher = fetcher
        self._reader = reader or ForeignReader()

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        wanted = parse_arguments("web_fetch", FetchArguments, arguments)
        _check(wanted.question)
        url = parse(wanted.url, self._fetcher.reach)
        return Prepared(
            tool="web_fetch",
            arguments={"url": str(url), "question": wanted.question},
            effect=self.spec.effect,
            header=f"web_fetch: {one_line(str(url))}",
            preview=visible(f"GET {url}\n\n{wanted.question}"),
            network=True,
            hosts=(host_of(url),),
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        url, question = str(prepared.arguments["url"]), str(prepared.arguments["question"])
        try:
            async with asyncio.timeout(context.timeout):
                page = await self._fetcher.get(url, hosts=prepared.hosts)
            text = await read_page(page, min(READ_TIMEOUT, context.timeout), self._reader)
        except BlockedDestination as blocked:
            return ToolResult("error", f"Not fetched. {blocked}")
        except NoAddress as error:
            return ToolResult("error", f"{url} could not be fetched: {error}.", own=True)
        except Unreachable as error:
            return ToolResult("error", f"{url} could not be fetched: {error}.")
        except TimeoutError:
            return ToolResult("error", f"{url} could not be fetched in {context.timeout:g} s.")
        except FetchFailed as error:
            return ToolResult("error", str(error))
        if not text.strip():
            return ToolResult("ok", f"[{page.url} is empty]")
        shown = cut_middle(text.strip(), min(MAX_PAGE, context.max_output))
        answer = await _answer(context.ask, question, page, shown)
        return ToolResult("ok", "\n".join([answer, *_notes(page)]))

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None


async def _answer(ask: Ask | None, question: str, page: Page, text: str) -> str:
    """The answer to the question; where there is none the page, and why."""
    if ask is None:
        return text
    system, user = extraction_prompts(question, page.url, text, secrets.token_hex(8))
    try:
        async with asyncio.timeout(ASK_TIMEOUT):
            answer = (await ask(system, user, MAX_ANSWER)).strip()
    except TimeoutError:
        why = f"the model did not answer in {ASK_TIMEOUT:g} s"
    except ModelUnavailable as error:
        why = str(error).rstrip(".")
    else:
        if answer:
            return answer
        why = "the model answered with nothing"
    return f"[no answer was drawn from the page: {why}; this is the page]\n{text}"


def _notes(page: Page) -> list[str]:
    return [] if page.whole else [f"[only the first {MAX_BODY:,} bytes of the page were read]"]


def _check(question: str) -> None:
    if not question.strip():
        raise ToolRefused("web_fetch: the argument `question` is empty.")
    if len(question) > _MAX_QUESTION:
        raise ToolRefused(
            f"web_fetch: the argument `question` has {len(question):,} characters;"
            f" {_MAX_QUESTION:,} can be asked."
        )
