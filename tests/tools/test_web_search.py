"""The tool `web_search`, against services that answer as the real ones do, and as they should not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from oturn.errors import ModelError, ModelServerError
from oturn.transport.base import ModelRequest
from support.tools import call, prepare
from support.web import redirect, reply, web_server
from turnstone.core.errors import ToolRefused
from turnstone.core.tool import ToolContext, ToolResult
from turnstone.tools.web.services import ProviderSearch, SearchService, SearXNG, Tavily
from turnstone.tools.web_search import WebSearch

KEY = "tvly-canary-5417"
HITS = [
    {"title": "One\n page", "url": "https://one.example/", "content": "First  words. " * 100},
    {"title": "", "url": "https://two.example/", "content": None, "score": 0.5},
    {"title": "No address"},
    "nonsense",
]


async def searched(service: SearchService, context: ToolContext, **arguments: Any) -> ToolResult:
    return await call(WebSearch(service), context, **{"query": "tea", **arguments})


def as_json(**answer: object) -> bytes:
    return reply(json.dumps(answer), kind="application/json")


async def test_tavily_is_asked_and_its_results_are_numbered(context: ToolContext) -> None:
    answer = as_json(answer="Tea is hot.", results=HITS)
    async with web_server({"/search": answer}) as server:
        service = Tavily(KEY, server.url("/search"))
        result = await searched(service, context, max_results=7, topic="news")

    extract = ("First words. " * 100)[:500].strip()
    assert result.status == "ok"
    assert result.output.split("\n\n") == [
        "Tea is hot.",
        f"1. [One page](https://one.example/)\n{extract}",
        "2. [https://two.example/](https://two.example/)",
    ]
    head = server.requests[0]
    assert head.startswith("POST /search ")
    assert f"\r\nAuthorization: Bearer {KEY}\r\n" in head


async def test_the_request_is_that_of_the_contract(context: ToolContext) -> None:
    async with web_server({"/search": as_json(results=[])}) as server:
        service = Tavily(KEY, server.url("/search"))
        await searched(service, context)
        await searched(service, context, max_results="50", topic="FINANCE")
        await searched(service, context, max_results=-3, topic="sports")

    bodies = [json.loads(body) for body in server.bodies]
    common = {"query": "tea", "include_answer": True}
    assert bodies == [
        {**common, "max_results": 5, "topic": "general"},
        {**common, "max_results": 20, "topic": "finance"},
        {**common, "max_results": 1, "topic": "general"},
    ]


async def test_no_more_results_are_told_than_were_asked_for(context: ToolContext) -> None:
    many = [{"title": f"T{n}", "url": f"https://e.example/{n}"} for n in range(30)]
    async with web_server({"/search": as_json(results=many)}) as server:
        service = Tavily(KEY, server.url("/search"))
        result = await searched(service, context, max_results=3)

    assert result.output.count("https://e.example/") == 3


async def test_searxng_is_asked_for_json(context: ToolContext) -> None:
    answer = as_json(results=HITS, answers=[{"answer": "Tea is hot."}])
    path = "/x/search?q=tea&format=json&categories=news"
    async with web_server({path: answer}) as server:
        result = await searched(SearXNG(server.url("/x/")), context, topic="news")

    assert result.output.startswith("Tea is hot.\n\n1. [One page](https://one.example/)\nFirst")


async def test_what_is_decided_about_names_the_service(context: ToolContext) -> None:
    prepared = await prepare(WebSearch(Tavily(KEY)), context, query=" tea\u202e ", topic=None)

    assert prepared.hosts == ("api.tavily.com",)
    assert prepared.network
    assert prepared.header == "web_search: tea\\u202e"
    assert prepared.preview == "tea\\u202e\n\n(general, 5 results, by Tavily)"
    assert KEY not in repr(prepared)


async def test_without_a_service_it_is_told_what_to_set(context: ToolContext) -> None:
    with pytest.raises(ToolRefused) as refused:
        await prepare(WebSearch(None), context, query="tea")

    for what in ("no search service is set up", "TAVILY_API_KEY", "[web] searxng_url", "provider"):
        assert what in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "`query` is missing"),
        ({"query": " "}, "`query` is empty"),
        ({"query": "x" * 3_000}, "3,000 characters"),
        ({"query": "x", "max_results": "many"}, "`max_results` must be a whole number"),
    ],
)
async def test_what_cannot_be_searched_for_is_refused(
    arguments: Mapping[str, object], said: str, context: ToolContext
) -> None:
    with pytest.raises(ToolRefused, match=said):
        await prepare(WebSearch(Tavily(KEY)), context, **arguments)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(f"bad key {KEY}", status="401 Unauthorized"), r"refuses the key \(HTTP 401\)"),
        (reply(status="429 Too Many"), "allows no more requests for now"),
        (reply(status="432 Plan"), "allows no more requests for now"),
        (reply(status="500 Oh"), "Tavily answers with HTTP 500"),
        (redirect("http://127.0.0.1/"), "Tavily answers with HTTP 302"),
        (reply("<html>"), "something that is no JSON object"),
        (reply("[1]"), "something that is no JSON object"),
        (reply(b"x" * 5_000_000), "more than 4,000,000 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", "cannot be reached"),
        (b"", "cannot be reached"),
    ],
)
async def test_a_service_that_fails_is_told_without_the_key(
    answer: bytes, said: str, context: ToolContext
) -> None:
    async with web_server({"/search": answer}) as server:
        result = await searched(Tavily(KEY, server.url("/search")), context)

    assert result.status == "error"
    assert re.search(said, result.output)
    assert KEY not in result.output


async def test_a_service_that_is_not_there_is_told(context: ToolContext) -> None:
    result = await searched(SearXNG("http://127.0.0.1:9"), context)

    assert result.output == "The search failed: SearXNG cannot be reached (ConnectError)."


async def test_a_searxng_that_gives_no_json_is_told_with_the_cure(context: ToolContext) -> None:
    path = "/search?q=tea&format=json&categories=general"
    async with web_server({path: reply(status="403 Forbidden")}) as server:
        result = await searched(SearXNG(server.url("")), context)

    assert 'add "json" to search.formats' in result.output


@pytest.mark.parametrize("answer", [{}, {"results": None}, {"results": {}}, {"results": [7]}])
async def test_nothing_found_is_told(answer: dict[str, object], context: ToolContext) -> None:
    async with web_server({"/search": as_json(**answer)}) as server:
        result = await searched(Tavily(KEY, server.url("/search")), context)

    assert (result.status, result.output) == ("ok", "[nothing was found for 'tea']")


# A provider that searches by itself.


def provider(
    message: Mapping[str, Any], **beside: object
) -> tuple[ProviderSearch, list[ModelRequest]]:
    asked: list[ModelRequest] = []

    async def complete(request: ModelRequest) -> Mapping[str, Any]:
        asked.append(request)
        return {"choices": [{"message": message}], **beside}

    return ProviderSearch(complete, "searcher", "https://api.provider.example/v1"), asked


async def test_the_sources_that_a_provider_attests_are_the_results(context: ToolContext) -> None:
    one = {"url": "https://one.example/", "title": "One", "start_index": 1, "end_index": 2}
    two = {"url": "https://two.example/", "title": "Two", "content": "words"}
    cited = [{"type": "url_citation", "url_citation": entry} for entry in (one, two, one)]
    service, asked = provider({"content": "Tea is hot.", "annotations": cited})
    result = await searched(service, context, topic="news")

    assert result.output == (
        "Tea is hot.\n\n1. [One](https://one.example/)\n\n2. [Two](https://two.example/)\nwords"
    )
    assert asked[0].params == {"web_search_options": {}}
    [message] = asked[0].messages
    assert message["role"] == "user"
    assert "Topic: news." in message["content"]
    assert message["content"].endswith("\n\ntea")
    assert service.host == "api.provider.example"


async def test_sources_beside_the_message_count_too(context: ToolContext) -> None:
    found = [{"title": "One", "url": "https://one.example/", "snippet": "words"}]
    service, _ = provider({"content": "Hot."}, search_results=found)
    result = await searched(service, context)

    assert result.output == "Hot.\n\n1. [One](https://one.example/)\nwords"


@pytest.mark.parametrize("annotations", [None, [], "x", [{"type": "file"}], [7]])
async def test_an_answer_without_sources_is_no_search(
    annotations: object, context: ToolContext
) -> None:
    """A model that does not search makes results up: `1. [Tea](https://tea.example)`."""
    service, _ = provider({"content": "1. [T](https://t.example)", "annotations": annotations})
    result = await searched(service, context)

    assert result.status == "error"
    assert "searcher names no sources, so it did not search" in result.output
    assert "t.example" not in result.output


async def test_a_provider_that_fails_is_told(context: ToolContext) -> None:
    async def complete(request: ModelRequest) -> Mapping[str, Any]:
        raise ModelServerError(ModelError("refused", "The model is busy."))

    service = ProviderSearch(complete, "m", "https://api.provider.example/v1")

    assert (await searched(service, context)).output == "The search failed: The model is busy."
