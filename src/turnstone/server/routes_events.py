"""Handlers for the streams of events: of one workstream, of many in one, of the whole node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from starlette.datastructures import QueryParams
from starlette.requests import Request

from turnstone.api import wire02
from turnstone.core import events as ev
from turnstone.core.errors import InvalidRequest
from turnstone.server import streams
from turnstone.server.routes import Call, Handler, Node
from turnstone.server.sse import EventStream, Frames

#: Workstreams in one stream: their places must fit into one header of a reader that comes back.
MAX_FOLLOWED = 64


async def events(node: Node, call: Call[None]) -> EventStream:
    source = _many(node, call.request) if _is_many(call.request.query_params) else None
    stream = _stream(node, call, source or _one(node, call.request))
    await stream.open()
    return stream


async def events_global(node: Node, call: Call[None]) -> EventStream:
    request = call.request
    found = node.host.follow_all(_resume_at(request))
    return _stream(
        node,
        call,
        streams.One(
            found,
            streams.OF_0_2,
            types=_types(request.query_params),
            companions=wire02.Companions(),
        ),
    )


HANDLERS: Mapping[str, Handler] = {"events": events, "events_global": events_global}


def _stream(node: Node, call: Call[None], source: Frames) -> EventStream:
    return EventStream(
        source,
        node.closing,
        keepalive=node.keepalive,
        still=lambda: node.auth.still(call.identity),
    )


def _is_many(query: QueryParams) -> bool:
    asked = query.getlist("ws")
    return "global" in query or len(asked) > 1 or any("@" in one for one in asked)


def _one(node: Node, request: Request) -> streams.One:
    query = request.query_params
    types = _types(query)
    native = query.get("ws", "")
    found = node.host.follow(native or query.get("ws_id", ""), _resume_at(request))
    if "ws" in query:
        return streams.One(found, streams.NATIVE, types=types)
    return streams.One(found, streams.OF_0_2, types=types, companions=wire02.Companions())


def _many(node: Node, request: Request) -> streams.Many:
    query = request.query_params
    places = dict(_asked(one) for one in query.getlist("ws"))
    wanted = list(places)
    if len(wanted) > MAX_FOLLOWED:
        raise InvalidRequest(
            f"ws: {len(wanted)} workstreams are too many for one stream.",
            hint=f"Follow at most {MAX_FOLLOWED}, and the others in a stream of their own.",
        )
    if _everything(query, places):
        wanted.append(streams.EVERYTHING)
    if not wanted:
        raise InvalidRequest("ws: it is missing.", hint="Name a workstream, or say global=1.")
    known = {name: place for name, place in places.items() if place is not None} | _returned(
        request
    )
    sources: dict[str, AsyncIterator[ev.Event]] = {
        name: node.host.follow_all(known.get(name))
        if name == streams.EVERYTHING
        else node.host.follow(name, known.get(name))
        for name in wanted
    }
    return streams.Many(sources, known, types=_types(query), encode=streams.NATIVE)


def _everything(query: QueryParams, places: dict[str, ev.EventId | None]) -> bool:
    """Whether all workstreams are asked for: `global=1`, or `1@` and a place, which is noted."""
    wanted, _, place = query.get("global", "0").partition("@")
    if wanted not in ("0", "1"):
        raise InvalidRequest(f"global: {wanted[:60]!r} is neither 1 nor 0.")
    if place:
        places[streams.EVERYTHING] = _place("global", place)
    return wanted == "1"


def _asked(given: str) -> tuple[str, ev.EventId | None]:
    ws_id, _, place = given.partition("@")
    if not ws_id:
        raise InvalidRequest("ws: it is empty.", hint="Name a workstream, as ws=ID or ws=ID@12-3.")
    return ws_id, _place("ws", place) if place else None


def _returned(request: Request) -> dict[str, ev.EventId]:
    """The places of a reader that comes back: newer than those in its address."""
    given = request.headers.get("last-event-id") or request.query_params.get("after", "")
    try:
        return streams.read_places(given)
    except ValueError as error:
        raise InvalidRequest(
            f"after: {error}.", hint="Give the id of the last event that you saw, or none."
        ) from error


def _types(query: QueryParams) -> frozenset[str] | None:
    if "types" not in query:
        return None
    named = frozenset(filter(None, query["types"].split(",")))
    if unknown := sorted(named - streams.known_types()):
        raise InvalidRequest(
            f"types: there is no type {unknown[0][:60]!r}.", hint="docs/api-reference.md lists all."
        )
    return named


def _resume_at(request: Request) -> ev.EventId | None:
    """Where the reader left. What its browser says itself is newer than the address it had."""
    given = request.headers.get("last-event-id") or request.query_params.get("after")
    return _place("after", given) if given else None


def _place(name: str, given: str) -> ev.EventId:
    try:
        return ev.EventId.parse(given)
    except ValueError as error:
        raise InvalidRequest(
            f"{name}: {error}.", hint="Give the id of the last event that you saw, or none."
        ) from error
