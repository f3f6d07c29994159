"""Earlier points of a conversation: the journal replayed up to just before one of them. Pure.

A journal is only ever appended to, so every state that a conversation has had can be had
again, behind a compaction or a `/clear` too. Nothing here writes or waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from turnstone.core.budget import Ledger
from turnstone.core.conversation import Conversation
from turnstone.core.errors import InvalidRequest
from turnstone.core.events import (
    BudgetReserved,
    BudgetSettled,
    ConversationSet,
    Event,
    EventId,
    MessageAccepted,
    SettingsChanged,
    StepStarted,
    Tainted,
    Titled,
    TurnEnded,
    WsCreated,
)
from turnstone.core.transcript import OF_A_TURN, Transcript


class Heard(NamedTuple):
    """A message that has entered the conversation. `seq`: of the record that it came with;
    `place`: where in the list of records it entered."""

    correlation_id: str
    seq: int
    place: int
    text: str


def heard(records: Iterable[Event]) -> list[Heard]:
    """The messages that have entered the conversation, in that order."""
    waiting: dict[str, MessageAccepted] = {}
    found: list[Heard] = []
    for place, record in enumerate(records):
        if isinstance(record, MessageAccepted):
            waiting[record.correlation_id] = record
            continue
        entered = [record.correlation_id] if isinstance(record, OF_A_TURN) else []
        if isinstance(record, TurnEnded) and not record.turn:
            if record.begun:
                entered.append(record.correlation_id)
            else:
                waiting.pop(record.correlation_id, None)
        if isinstance(record, StepStarted):
            entered += record.steered
        for correlation_id in entered:
            message = waiting.pop(correlation_id, None)
            if message is not None:
                seq = EventId.parse(message.id).seq
                found.append(Heard(correlation_id, seq, place, message.message))
    return found


def before(records: Sequence[Event], point: str) -> Transcript:
    """The workstream as it was just before this point: a message, by its correlation id or the
    number of its record; or any other record, by its number or event id. Empty: as it is now.

    Raises InvalidRequest where there is no such point.
    """
    transcript = Transcript()
    for record in records[: _place(records, point.strip())]:
        transcript.apply(record)
    return transcript


def conversation_at(
    transcript: Transcript,
    why: Literal["rewound", "forked"],
    source: str = "",
    now: Conversation | None = None,
) -> ConversationSet:
    """The record that makes a conversation this one. Calls that have no results yet, and the
    answer that made them, are left out: no provider takes them. What it has in common with `now`,
    the one that it takes the place of, is not in it again."""
    messages, history = transcript.conversation.whole()
    if why == "forked":  # ids name messages of the journal that they are in
        history = [msgspec.structs.replace(m, correlation_id="") for m in history]
    kept = _common(now.messages, messages) if now is not None else 0
    kept_history = _common(now.history, history) if now is not None else 0
    return ConversationSet(
        why=why,
        kept=kept,
        messages=messages[kept:],
        kept_history=kept_history,
        history=history[kept_history:],
        source=source,
    )


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """How many of the first are the same in both."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _place(records: Sequence[Event], point: str) -> int:
    """How many records come before the point."""
    if not point:
        return len(records)
    messages = heard(records)
    for message in messages:
        if message.correlation_id == point:
            return message.place
    if any(isinstance(r, MessageAccepted) and r.correlation_id == point for r in records):
        raise InvalidRequest(f"Message {point} has not entered the conversation.")
    seq = _seq(point)
    for message in messages:
        if message.seq == seq:
            return message.place
    for place, record in enumerate(records):
        if place and EventId.parse(record.id).seq == seq:
            return place
    raise InvalidRequest(
        f"There is no message and no record {point!r} in this workstream.",
        hint="/rewind lists its messages, each with its number.",
    )


def _seq(point: str) -> int:
    try:
        return EventId.parse(point).seq
    except ValueError:
        return 0  # of no record


def message_at(records: Sequence[Event], point: str) -> str:
    """The text of the message that the point is, if it is one."""
    place = _place(records, point.strip())
    return next((message.text for message in heard(records) if message.place == place), "")


def fork_of(
    records: Sequence[Event],
    at: str,
    source: str,
    ws_id: str,
    session_id: str,
    command_id: str = "",
) -> tuple[WsCreated, list[Event]]:
    """The first record of a workstream that goes on from this point (see `before`), and those
    that follow it.

    What marks and limits the conversation goes along: what it has read from outside, its
    settings, its budget as it stands now. Permissions do not: they were given for the other one.

    Raises InvalidRequest for a sub-agent, which is a part of the workstream above it, and where
    there is no such point.
    """
    found = before(records, at)
    now = found if not at.strip() else before(records, "")
    was = found.created
    if was.agent:
        raise InvalidRequest(
            f"Workstream {source} is a sub-agent: it cannot be forked.",
            hint="Fork the one above it.",
        )
    created = WsCreated(
        ws_id=ws_id,
        name=f"{found.summary.name} (fork)",
        session_id=session_id,
        workspace=was.workspace,
        model=was.model,
        budget=now.ledger.budget,
    )
    became = conversation_at(found, "forked", source)
    first = _used(now.ledger, now.worked, source)
    first.append(msgspec.structs.replace(became, correlation_id=command_id))
    first += [Tainted(source=source) for source in found.tainted]
    if found.settings != SettingsChanged():
        first.append(found.settings)
    if found.title:
        first.append(Titled(title=found.title))
    return created, first


def _used(ledger: Ledger, worked: float, source: str) -> list[Event]:
    """The records that count against a budget what was used of it before: going on from an
    earlier point in a fork gives nothing of it back. Each fork has what was left for itself:
    several may use it, each once."""
    if not ledger.limited:
        return []
    cost, seconds = ledger.used(worked)
    made: list[Event] = [
        BudgetReserved(
            reservation=source,
            holder=source,
            tokens=cost.tokens,
            money=cost.money,
            tool_calls=cost.tool_calls,
            worked=0.0,
        ),
        BudgetReserved(reservation=f"{source}-", holder=source, worked=seconds, ended=True),
    ]
    if cost.tokens or cost.money:
        made.append(
            BudgetSettled(
                reservation=source,
                tokens=cost.tokens,
                money=cost.money,
                tool_calls=cost.tool_calls,
            )
        )
    return made
