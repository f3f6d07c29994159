"""`turnstone sessions`: what was said, out of the store: listed, searched and shown.

Beside a node that runs, too. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from turnstone.cli.opened import opened
from turnstone.cli.plain import one_line, plain
from turnstone.cli.tables import cut, date, json_of, table
from turnstone.core import earlier
from turnstone.core.config import Settings
from turnstone.core.errors import UnknownSession
from turnstone.core.events import HistoryMessage
from turnstone.core.exporting import Exported, exported
from turnstone.core.host import SearchHit, SessionInfo
from turnstone.core.sessions import found

#: Characters of a name, and of what was found, in a list.
_NAME, _FOUND = 60, 200

#: Lines of a tool's result that are shown; `export` has all.
_LINES = 12


async def listed(settings: Settings, limit: int, after: str, *, as_json: bool) -> str:
    """The newest sessions, those behind the session `after`. Raises UnknownSession."""
    async with opened(settings) as (store, _):
        behind = (await found(store, after)).row.ws_id if after else ""
        infos = await store.sessions(limit, behind)
    if as_json:
        return json_of(msgspec.to_builtins(infos))
    if not infos:
        return "There are no sessions yet."
    heads = ("session", "updated", "messages", "state", "alias", "title")
    return table(heads, [_row(info) for info in infos])


def _row(info: SessionInfo) -> tuple[str, ...]:
    return (
        info.session_id,
        info.updated,
        str(info.message_count),
        "closed" if info.closed else "open",
        info.alias or "",
        cut(info.title or info.name, _NAME),
    )


async def searched(
    settings: Settings, query: str, limit: int, session: str, *, as_json: bool
) -> str:
    """Where all words of the query were said, the newest first. Raises UnknownSession."""
    async with opened(settings) as (store, _):
        within = (await found(store, session)).row.ws_id if session else ""
        hits = await store.search(query, limit, within)
    if as_json:
        return json_of(msgspec.to_builtins(hits))
    return "\n".join(map(_hit, hits)) or "Nothing was found."


def _hit(hit: SearchHit) -> str:
    said = cut(hit.snippet, _FOUND)
    return f"{hit.session_id}  {date(hit.timestamp)}  {one_line(hit.role)}\n    {said}"


async def shown(settings: Settings, name: str, *, as_json: bool) -> str:
    """A session as it is read: what was said and done, in order. Raises UnknownSession."""
    async with opened(settings) as (store, _):
        one = await found(store, name)
        records = await store.records(one.row.ws_id)
    session = exported(earlier.up_to(records, one.left))
    if not session.history:
        raise UnknownSession(f"Nothing was said in session {session.session_id} yet.")
    if as_json:
        about = msgspec.to_builtins(session)
        del about["messages"]  # as the model was sent them: `export` has that
        return json_of(about)
    return "\n".join([*_head(session), *_conversation(session.history)])


def _head(session: Exported) -> Iterator[str]:
    yield f"session    {session.session_id}"
    for label, text in (("alias", session.alias), ("title", session.title)):
        if text:
            yield f"{label:<10} {one_line(text)}"
    yield f"workspace  {one_line(session.workspace)}"
    yield f"begun      {date(session.created)}"
    yield f"updated    {date(session.updated)}"


def _conversation(history: Sequence[HistoryMessage]) -> Iterator[str]:
    calls: dict[str, str] = {}
    for message in history:
        if message.role == "tool":
            yield from _result(message, calls.get(message.tool_call_id, "tool"))
            continue
        yield ""
        if message.content:
            yield "you:" if message.role == "user" else f"{_speaker(message)}:"
            yield from _indented(plain(message.content).rstrip("\n").split("\n"))
        for call in message.tool_calls:
            calls[call.id] = call.name


def _speaker(message: HistoryMessage) -> str:
    return one_line(message.shown.model) or "model"


def _result(message: HistoryMessage, tool: str) -> Iterator[str]:
    header = message.shown.header or tool
    status = f" ({message.status})" if message.status not in ("", "ok", "done") else ""
    yield f"  ▸ {one_line(header)}{one_line(status)}"
    lines = plain(message.content).rstrip("\n").split("\n")
    yield from _indented(lines[:_LINES], "    ")
    if len(lines) > _LINES:
        yield f"    … {len(lines) - _LINES} more lines"


def _indented(lines: Sequence[str], indent: str = "  ") -> Iterator[str]:
    for line in lines:
        yield f"{indent}{line}".rstrip()
