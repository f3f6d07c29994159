"""Takes sessions and memories of other files over into the store: closed, to be resumed.

The workstream of a session is named after it, so that the same session is taken over once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from turnstone.core.clock import Clock
from turnstone.core.conversation import Conversation
from turnstone.core.errors import InvalidRequest, NameTaken, StoreError, Unsettled
from turnstone.core.events import (
    ConversationSet,
    Event,
    Tainted,
    Titled,
    ToolCallRecord,
    ToolFinished,
    WsClosed,
    WsCreated,
    WsRename,
    sound,
)
from turnstone.core.exporting import Exported
from turnstone.core.import_checks import NO_RESULT, mended
from turnstone.core.memory import checked_value, key_of
from turnstone.core.store import Store, WorkstreamRow
from turnstone.core.store.store02 import Found02, Said02, Session02
from turnstone.core.summary import Summary

#: Characters of what was read from outside, as a file tells it.
_SOURCE = 200


@dataclass(slots=True)
class Imported:
    """What was taken over, and a sentence for each thing that was not."""

    sessions: int = 0
    messages: int = 0
    memories: int = 0
    known: int = 0  # sessions and memories that were there already
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what else is to be known of it


async def take_over(
    store: Store,
    session: Exported,
    owner: str,
    clock: Clock,
    source: str,
    done: Imported,
    retention: float = 0.0,
) -> None:
    """One session, whose conversation goes on where the file ends. `retention`: seconds after
    which the store's nodes erase what is idle; 0: never.

    Whatever it has read from outside marks it here too; a file that does not say is itself from
    outside. Raises InvalidRequest for messages that are none, StoreError.
    """
    ws_id = await _free(store, session.session_id)  # before the next: whoever is faster is seen
    if await store.resolve(session.session_id, match="session"):
        done.known += 1
        return
    notes: list[str] = []
    session = mended(session, source, notes)
    now = round(clock.now(), 6)
    created = min(max(0.0, session.created) or max(0.0, session.updated) or now, now)
    changed = min(max(0.0, session.updated) or now, now)
    if retention and changed < now - retention:
        changed = now  # else it would be erased at once
        notes.append(
            f"session {session.session_id} is older than sessions are kept here: it is dated now."
        )
    first = WsCreated(
        name=session.name or session.alias or session.title or f"ws-{ws_id[:4]}",
        session_id=session.session_id,
        workspace=session.workspace,
        timestamp=created,
    )
    became = ConversationSet(
        why="imported",
        messages=session.messages,
        history=session.history,
        source=source,
        timestamp=changed,
    )
    unsaid = f"import of {source}"
    read = [unsaid] if session.tainted is None else session.tainted
    marks = [
        Tainted(source=_line(what) or unsaid, timestamp=changed) for what in dict.fromkeys(read)
    ]
    title = [Titled(title=session.title, timestamp=changed)] if session.title else []
    closed = WsClosed(reason="imported", timestamp=changed)
    name = WsRename(name=first.name, alias=session.alias, timestamp=changed)
    told = [became, *marks, *title]
    try:
        try:
            await _write(store, ws_id, owner, first, [*told, name, closed])
        except NameTaken as error:
            nameless = f"session {session.session_id} comes without its name: {error.message}"
            done.skipped.append(nameless)
            await _write(store, ws_id, owner, first, [*told, closed])
    except Unsettled:
        raise
    except StoreError:
        if not await store.resolve(session.session_id, match="session"):
            raise
        done.known += 1  # another import of it was faster
        return
    done.sessions += 1
    done.messages += len(session.history)
    done.notes += notes
    if not session.turnstone_session:
        done.notes.append(
            f"{source} is a file of oturn, which has no end mark: it was taken as it is, and if "
            "its end is missing, that cannot be told."
        )


async def take_over_02(
    store: Store,
    found: Found02,
    owner: str,
    clock: Clock,
    source: str,
    retention: float = 0.0,
) -> Imported:
    """All of a database of 0.2."""
    done = Imported(skipped=list(found.skipped))
    for session in found.sessions.values():
        if session.rows:
            whole = converted(session, done.skipped)
            await take_over(store, whole, owner, clock, source, done, retention)
    for memory in found.memories:
        try:
            key, value = key_of(memory.key), checked_value(memory.value)
        except InvalidRequest as error:
            done.skipped.append(f"the memory {memory.key[:40]!r}: {error.message}")
            continue
        before = await store.memory("user", key)
        if before is None:
            await store.put_memory(msgspec.structs.replace(memory, key=key, value=value))
            done.memories += 1
        elif before.value == value:
            done.known += 1
        else:
            done.skipped.append(f"the memory {key} is here with another value, which stays")
    return done


def converted(session: Session02, skipped: list[str]) -> Exported:
    """A session of 0.2 as a conversation. Each call has its result behind it; results of no call
    are told in `skipped`."""
    said = Conversation()
    text = ""
    calls: list[ToolCallRecord] = []
    results: dict[str, str] = {}

    def flush() -> None:
        nonlocal text
        if text or calls:
            said.say("assistant", text, calls)
            said.returned(
                ToolFinished(
                    call_id=call.id,
                    status="ok" if call.id in results else "unknown",
                    output=results.get(call.id, NO_RESULT),
                )
                for call in calls
            )
        text = ""
        calls.clear()
        results.clear()

    for row in session.rows:
        if row.role == "tool_result":
            answered = _answered(row, calls, results)
            if answered:
                results[answered] = row.content
            else:
                skipped.append(f"row {row.number} of conversations is the result of no call")
        elif row.role == "tool_call":
            if results:
                flush()
            arguments = row.tool_args or "{}"
            calls.append(ToolCallRecord(_call_id(row, calls), row.tool_name, arguments))
        else:
            flush()
            if row.role == "user":
                said.say("user", row.content)
            else:
                text = row.content
    flush()
    return Exported(
        session_id=session.session_id,
        alias=session.alias,
        title=session.title,
        created=session.created,
        updated=session.updated,
        messages=said.messages,
        history=said.history,
    )


def _call_id(row: Said02, calls: Sequence[ToolCallRecord]) -> str:
    known = {call.id for call in calls}
    return row.call_id if row.call_id and row.call_id not in known else f"call_{row.number}"


def _answered(row: Said02, calls: Sequence[ToolCallRecord], results: dict[str, str]) -> str:
    """The call that a result is of: by its id, else the first that has none; empty: of none."""
    left = [call.id for call in calls if call.id not in results]
    if row.call_id in left:
        return row.call_id
    return left[0] if left else ""


def _line(text: str) -> str:
    """On one line, to be shown in a question to a person."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_SOURCE]


async def _free(store: Store, session_id: str) -> str:
    """An id for the workstream, the same each time."""
    number = 0
    while await store.row(_named(session_id, number)) is not None:
        number += 1
    return _named(session_id, number)


def _named(session_id: str, number: int = 0) -> str:
    known = f"import {session_id} {number}".encode(errors="replace")
    return hashlib.sha256(known).hexdigest()[:8]


async def _write(
    store: Store, ws_id: str, owner: str, first: WsCreated, records: Sequence[Event]
) -> None:
    """All of it in one write."""
    first, records = sound(first), [sound(record) for record in records]
    summary = Summary().after(first)
    for record in records:
        summary = summary.after(record)
    row = WorkstreamRow(
        ws_id=ws_id,
        session_id=first.session_id,
        created=first.timestamp,
        owner=owner,
        epoch=1,
        summary=msgspec.to_builtins(summary),
    )
    await store.create(row, first, records)
