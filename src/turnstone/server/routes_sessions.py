"""Handlers for sessions, what was said in them, and what is remembered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from turnstone.api import endpoints as api
from turnstone.core.errors import InvalidRequest
from turnstone.core.host import ExportFormat
from turnstone.core.sessions import MAX_HITS, MAX_MEMORIES
from turnstone.server.routes import Call, Handler, Node, answer


async def rename(node: Node, call: Call[api.RenameRequest]) -> Response:
    info = await node.host.rename(call.body.ws_id, call.body.name, call.body.alias)
    return answer(api.WorkstreamReply(workstream=info))


async def sessions(node: Node, call: Call[None]) -> Response:
    after = call.request.query_params.get("after", "")
    limit = _number(call.request, "limit", 50)
    found = await node.host.sessions(limit, after)
    return answer(
        api.SessionsReply(sessions=found, next=found[-1].ws_id if len(found) == limit else "")
    )


async def resume(node: Node, call: Call[api.ResumeRequest]) -> Response:
    info = await node.host.resume(call.body.session)
    call.note(ws_id=info.id)
    return answer(api.WorkstreamReply(workstream=info))


async def export(node: Node, call: Call[None]) -> Response:
    query = call.request.query_params
    text = await node.host.export(query.get("session", ""), _format(query.get("format", "json")))
    return answer(api.ExportReply(text=text))


async def take_over(node: Node, call: Call[api.ImportRequest]) -> Response:
    return answer(await node.host.take_over(call.body.text, call.body.source))


async def decisions(node: Node, call: Call[None]) -> Response:
    limit = _number(call.request, "limit", 100)
    ws_id = call.request.query_params.get("ws_id", "")
    return answer(api.DecisionsReply(decisions=await node.host.decisions(ws_id, limit)))


async def search(node: Node, call: Call[None]) -> Response:
    query = call.request.query_params
    limit = _number(call.request, "limit", 20)
    passed = _passed(call.request, limit, MAX_HITS)
    found = await node.host.search(query.get("query", ""), passed + limit, query.get("ws_id", ""))
    return answer(
        api.SearchReply(hits=found[passed:], next=_next(len(found), passed + limit, MAX_HITS))
    )


async def memories(node: Node, call: Call[None]) -> Response:
    query = call.request.query_params
    limit = _number(call.request, "limit", 100)
    passed = _passed(call.request, limit, MAX_MEMORIES)
    found = await node.host.memories(query.get("query", ""), query.get("scope", ""), passed + limit)
    return answer(
        api.MemoriesReply(
            memories=found[passed:], next=_next(len(found), passed + limit, MAX_MEMORIES)
        )
    )


async def remember(node: Node, call: Call[api.RememberRequest]) -> Response:
    return answer(await node.host.remember(call.body.key, call.body.value, call.body.scope))


async def forget(node: Node, call: Call[None]) -> Response:
    query = call.request.query_params
    await node.host.forget(query.get("key", ""), query.get("scope", "user"))
    return answer(api.OkReply())


HANDLERS: Mapping[str, Handler] = {
    "rename": rename,
    "sessions": sessions,
    "resume": resume,
    "export": export,
    "import": take_over,
    "decisions": decisions,
    "search": search,
    "memories": memories,
    "remember": remember,
    "forget": forget,
}


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name, "")
    if not given:
        return default
    if re.fullmatch(r"-[0-9]+", given):
        raise InvalidRequest(f"{name}: {given} is too small; it must be 1 or more.")
    if not (given.isascii() and given.isdigit()):
        raise InvalidRequest(f"{name}: {given!r} is no whole number.")
    return int(given[:9])


def _passed(request: Request, limit: int, most: int) -> int:
    """How many of a list were on the pages before. A list of at most `most` is cut there."""
    given = request.query_params.get("after", "") or "0"
    number = int(given) if re.fullmatch(r"[0-9]{1,9}", given) else most
    if number and number + limit > most:
        raise InvalidRequest(
            f"after: {given[:60]!r} is no place in this list.",
            hint=f"Give the `next` of the page before; a list ends after {most}.",
        )
    return number


def _next(found: int, wanted: int, most: int) -> str:
    """The place behind this page; empty where nothing can follow."""
    return str(wanted) if found == wanted and wanted < most else ""


def _format(given: str) -> ExportFormat:
    formats: dict[str, Literal["json", "markdown"]] = {"json": "json", "markdown": "markdown"}
    if given not in formats:
        raise InvalidRequest(f"format: {given!r} is neither json nor markdown.")
    return formats[given]
