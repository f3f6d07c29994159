"""The tool `web_search`: one question to the search service that the settings name.

A read: asked again after a crash, it has changed nothing. Fetches none of what it finds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from turnstone.core.errors import ToolRefused
from turnstone.core.tool import EmitOutput, Prepared, ToolContext, ToolResult
from turnstone.tools.arguments import parse_arguments
from turnstone.tools.spec import load_spec
from turnstone.tools.text import one_line, visible
from turnstone.tools.web.services import Found, Query, SearchFailed, SearchService, as_topic

MAX_RESULTS = 20
DEFAULT_RESULTS = 5

#: Characters of one result.
MAX_EXTRACT = 500

_MAX_ANSWER = 4_000
_MAX_TITLE = 300
_MAX_QUERY = 2_000
_NONE = "web_search: no search service is set up on this node."
_SET_ONE_UP = (
    "A person can set one up: [api] tavily_key (or the variable TAVILY_API_KEY) for Tavily,"
    ' [web] searxng_url for a SearXNG, or [web] search = "provider" for a model that searches.'
)


class SearchArguments(msgspec.Struct, frozen=True):
    query: str
    max_results: int = DEFAULT_RESULTS
    topic: str = "general"


class WebSearch:
    """`service` is who searches; None where nobody is set up."""

    def __init__(self, service: SearchService | None) -> None:
        self.spec = load_spec("web_search")
        self._service = service

    async def prepare(self, arguments: Mapping[str, Any], context: ToolContext) -> Prepared:
        given = {name: value for name, value in arguments.items() if value is not None}
        wanted = parse_arguments("web_search", SearchArguments, given)
        if self._service is None:
            raise ToolRefused(_NONE, hint=_SET_ONE_UP)
        query = wanted.query.strip()
        if not query:
            raise ToolRefused("web_search: the argument `query` is empty.")
        if len(query) > _MAX_QUERY:
            raise ToolRefused(
                f"web_search: the argument `query` has {len(query):,} characters;"
                f" {_MAX_QUERY:,} can be searched for."
            )
        number = max(1, min(MAX_RESULTS, wanted.max_results))
        topic = as_topic(wanted.topic)
        return Prepared(
            tool="web_search",
            arguments={"query": query, "max_results": number, "topic": topic},
            effect=self.spec.effect,
            header=f"web_search: {one_line(query)}",
            preview=visible(f"{query}\n\n({topic}, {number} results, by {self._service.name})"),
            network=True,
            hosts=(self._service.host,),
        )

    async def run(self, prepared: Prepared, context: ToolContext, emit: EmitOutput) -> ToolResult:
        assert self._service is not None, "prepare refuses without one"
        query = Query(
            str(prepared.arguments["query"]),
            int(prepared.arguments["max_results"]),
            as_topic(str(prepared.arguments["topic"])),
        )
        try:
            async with asyncio.timeout(max(context.timeout, self._service.patience)):
                found = await self._service.search(query)
        except TimeoutError:
            return ToolResult("error", f"{self._service.name} did not answer in time.", own=True)
        except SearchFailed as error:
            return ToolResult("error", f"The search failed: {error}.")
        return ToolResult("ok", _told(found, query))

    async def happened(self, prepared: Prepared, context: ToolContext) -> bool | None:
        return None


def _told(found: Found, query: Query) -> str:
    parts = [found.answer.strip()[:_MAX_ANSWER]] if found.answer.strip() else []
    for number, hit in enumerate(found.hits[: query.max_results], 1):
        title = " ".join(hit.title.split())[:_MAX_TITLE] or hit.url
        extract = " ".join(hit.text.split())[:MAX_EXTRACT].rstrip()
        parts.append(f"{number}. [{title}]({hit.url})" + (f"\n{extract}" if extract else ""))
    return "\n\n".join(parts) or f"[nothing was found for {query.text!r}]"
