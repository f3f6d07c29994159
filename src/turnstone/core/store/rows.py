"""A row as it is on the disk, and what is checked before anybody sees what it says.

Whatever does not read as it was written is named as damage, and a record of a kind that this
version does not know as that. Executes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from turnstone.core.errors import StoreError
from turnstone.core.events import AnyEvent, decode
from turnstone.core.store.base import WorkstreamRow

#: Where others have a state: it is one of a workstream above, and in no count.
SUB_AGENT = "sub-agent"


class Damage(Exception):
    """What was read is not what was written; says where."""


class Row(NamedTuple):
    """A row of `workstream` as it is on the disk."""

    ws_id: str
    session_id: str
    created: float
    owner: str
    epoch: int
    last_seq: int
    open_turns: int
    closed: int
    updated: float
    summary: bytes

    @property
    def checksum(self) -> int:
        return zlib.crc32(repr(tuple(self)).encode())

    @property
    def state(self) -> str:
        """That of the summary; empty: it names none. Sub-agents have one of their own, in which
        nobody counts them."""
        told = msgspec.json.decode(self.summary, type=_Told)
        return SUB_AGENT if told.parent else told.state

    @property
    def parent(self) -> str:
        """The workstream that it is a sub-agent of; empty: of none."""
        return msgspec.json.decode(self.summary, type=_Told).parent

    @property
    def session_now(self) -> str:
        """The session that its conversation is in."""
        return msgspec.json.decode(self.summary, type=_Told).session_id or self.session_id

    def public(self) -> WorkstreamRow:
        return WorkstreamRow(
            ws_id=self.ws_id,
            session_id=self.session_id,
            created=self.created,
            owner=self.owner,
            epoch=self.epoch,
            last_seq=self.last_seq,
            open_turns=self.open_turns,
            closed=bool(self.closed),
            updated=self.updated,
            summary=msgspec.json.decode(self.summary),
        )


class _Told(msgspec.Struct, frozen=True):
    """What of a summary the tables go by."""

    state: str = ""
    session_id: str = ""
    parent: str = ""


def row_of(found: Iterable[Any]) -> tuple[Row, WorkstreamRow]:
    """A row and its checksum, as they are selected. Raises Damage."""
    *values, checksum = found
    try:
        row = Row(*values)
        public = row.public()
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise Damage(f"the row of workstream {values[0]}: {error}") from error
    if checksum is not None and checksum != row.checksum:
        raise Damage(f"the row of workstream {row.ws_id}: its checksum is wrong")
    return row, public


def readable(found: Iterable[Iterable[Any]], told: Callable[[str], None]) -> list[WorkstreamRow]:
    """The rows that are sound; `told` hears which are not."""
    public: list[WorkstreamRow] = []
    for values in found:
        try:
            public.append(row_of(values)[1])
        except Damage as damage:
            told(str(damage))
    return public


def record_of(found: Iterable[Any]) -> AnyEvent:
    """A record and its checksum, as they are selected. Raises Damage, and StoreError for one
    that is as it was written, by a version that knows more."""
    *values, checksum = found
    ws_id, seq, kind, _, body = values
    where = f"record {seq} of workstream {ws_id}"
    try:
        if checksum is not None and checksum != record_checksum(*values):
            raise Damage(f"{where}: its checksum is wrong")
        return decode(body)
    except msgspec.ValidationError as error:
        if checksum is None:
            raise Damage(f"{where}: {error}") from error
        raise StoreError(
            f"Workstream {ws_id} was written to by a newer turnstone: its record {seq}, {kind}, "
            f"is not known to this one ({error}).",
            hint="Use that version.",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise Damage(f"{where}: {error}") from error


def record_checksum(ws_id: str, seq: int, kind: str, correlation_id: str, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(f"{ws_id} {seq} {kind} {correlation_id}".encode()))
