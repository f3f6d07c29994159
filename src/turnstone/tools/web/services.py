"""Search services behind one interface: Tavily, SearXNG, and models that search by themselves.

Each asks the one address that the settings name. Keys go there and nowhere else, and never
into a message; what a service writes about a failure is not repeated, it may quote them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

import httpx2
import msgspec

from oturn.errors import ModelServerError
from oturn.transport.base import ModelRequest
from turnstone.core.prompts import web_search_prompt

Topic: TypeAlias = Literal["general", "news", "finance"]

Complete: TypeAlias = Callable[[ModelRequest], Awaitable[Mapping[str, Any]]]
"""A model's whole answer as the provider's JSON object. Raises ModelServerError."""

TAVILY: Final = "https://api.tavily.com/search"

#: Bytes of an answer.
_MAX_ANSWER: Final = 4_000_000
_USER_AGENT: Final = "turnstone/1.0"


@dataclass(frozen=True, slots=True)
class Query:
    text: str
    max_results: int
    topic: Topic = "general"


@dataclass(frozen=True, slots=True)
class Hit:
    title: str
    url: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    hits: tuple[Hit, ...]
    answer: str = ""


class SearchFailed(Exception):
    """The service gave no result; the text says why, without a full stop."""


class SearchService(Protocol):
    name: str  # for people
    host: str  # that is asked
    patience: float  # seconds that it may take whatever the limit of a call is; 0: none

    async def search(self, query: Query) -> Found:
        """Raises SearchFailed."""


class Tavily:
    name = "Tavily"
    patience = 0.0

    def __init__(self, key: str, url: str = TAVILY) -> None:
        self._key = key
        self._url = url
        self.host = httpx2.URL(url).host

    async def search(self, query: Query) -> Found:
        body = {"query": query.text, "max_results": query.max_results, "topic": query.topic}
        body["include_answer"] = True
        headers = {"Authorization": f"Bearer {self._key}"}
        reply = await _ask(self.name, "POST", self._url, headers=headers, json=body)
        return Found(_hits(reply.get("results"), "content"), _text(reply.get("answer")))


class SearXNG:
    """Its settings must have `json` among the formats."""

    name = "SearXNG"
    patience = 0.0

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/search"
        self.host = httpx2.URL(url).host

    async def search(self, query: Query) -> Found:
        # It has no category for finance; its general one covers that.
        category = "news" if query.topic == "news" else "general"
        params = {"q": query.text, "format": "json", "categories": category}
        reply = await _ask(self.name, "GET", self._url, params=params)
        answers = reply.get("answers")
        return Found(_hits(reply.get("results"), "content"), _first(answers))


class ProviderSearch:
    """A model that searches by itself, asked with `web_search_options`.

    Other models ignore that option and make results up. So what counts is only what the
    provider attests beside the answer; an answer without sources is a failure.
    """

    name = "the model's provider"
    patience = 120.0

    def __init__(self, complete: Complete, model: str, url: str) -> None:
        self._complete = complete
        self._model = model
        self.host = httpx2.URL(url).host

    async def search(self, query: Query) -> Found:
        request = ModelRequest(
            self._model,
            [{"role": "user", "content": web_search_prompt(query.text, query.topic)}],
            params={"web_search_options": {}},
        )
        try:
            reply = await self._complete(request)
        except ModelServerError as error:
            raise SearchFailed(str(error).rstrip(".")) from error
        message = _message(reply)
        hits = _cited(message) or _hits(reply.get("search_results"), "snippet")
        if not hits:
            raise SearchFailed(
                f"{self._model} names no sources, so it did not search; set [web] search_model to"
                " a model that does, or use another service"
            )
        return Found(hits, _text(message.get("content")))


def as_topic(text: str) -> Topic:
    """What a model gave as topic; general if it is none."""
    topic = text.strip().lower()
    return cast("Topic", topic) if topic in ("general", "news", "finance") else "general"


async def _ask(name: str, method: str, url: str, **request: Any) -> Mapping[str, Any]:
    """The JSON object that the service answers with. Redirects are not followed: the request
    holds a key, or goes to an address that a person chose."""
    headers = {"User-Agent": _USER_AGENT, **request.pop("headers", {})}
    try:
        async with (
            httpx2.AsyncClient(timeout=None) as client,  # the tool sets a limit for all of it
            client.stream(method, url, headers=headers, **request) as response,
        ):
            if not response.is_success:
                raise SearchFailed(_refused(name, response.status_code))
            body = bytearray()
            async for piece in response.aiter_bytes(65_536):
                body += piece
                if len(body) > _MAX_ANSWER:
                    raise SearchFailed(f"{name} answers with more than {_MAX_ANSWER:,} bytes")
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise SearchFailed(f"{name} cannot be reached ({type(error).__name__})") from error
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise SearchFailed(f"{name} answers with something that is no JSON object") from None


def _refused(name: str, status: int) -> str:
    match status, name:
        case 401 | 403, "Tavily":
            return f"Tavily refuses the key (HTTP {status}); check [api] tavily_key"
        case 403, "SearXNG":
            return 'SearXNG refuses JSON (HTTP 403); add "json" to search.formats in its settings'
        case 429 | 432 | 433, _:
            return f"{name} allows no more requests for now (HTTP {status})"
        case _:
            return f"{name} answers with HTTP {status}"


def _hits(found: object, extract: str) -> tuple[Hit, ...]:
    """The entries of a list that have an address; whatever else a service sends is left out."""
    entries = [e for e in found if isinstance(e, dict)] if isinstance(found, list) else []
    return tuple(
        Hit(_text(entry.get("title")), url, _text(entry.get(extract)))
        for entry in entries
        if (url := _text(entry.get("url")))
    )


def _message(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = reply.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    return message if isinstance(message, dict) else {}


def _cited(message: Mapping[str, Any]) -> tuple[Hit, ...]:
    """The sources in a message's annotations, each once."""
    annotations = message.get("annotations")
    entries = annotations if isinstance(annotations, list) else []
    cited = [e.get("url_citation") for e in entries if isinstance(e, dict)]
    once: dict[str, Hit] = {}
    for hit in _hits(cited, "content"):
        once.setdefault(hit.url, hit)
    return tuple(once.values())


def _first(answers: object) -> str:
    """SearXNG gives answers as texts, or as objects that hold one."""
    first = answers[0] if isinstance(answers, list) and answers else ""
    return _text(first.get("answer") if isinstance(first, dict) else first)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
