"""What is in a list entry of the queue: the sender's message, or that in an envelope.

Only so much of a message is looked at here as routing needs, and by the same rules as in
`scripts/prelude.lua`, so that both implementations of the steps agree. Whether a message is
whole is for `protocol.parse` to say. Pure.

An envelope gives an id to a message that came without one: the byte 1 (which begins no JSON),
the id, a line feed, the message. Envelopes live in lists of our own only, never in wire lists.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from turnstone.mq.labels import requirement

#: Bytes of a message that are decoded; larger ones are dead letters.
MESSAGE_MAX = 1_048_576

#: Characters of a correlation id.
CORRELATION_MAX = 256

#: How an id begins that the queue has given: no sender's may, for it could be another message's.
GIVEN = "anon:"

#: What a node or workstream may be called, where it decides where a message goes.
NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")

#: Types that belong to the owner of their workstream, and those that may name a node; any node
#: answers the others (contract, section 3.4). One that makes a workstream does not name it.
TO_WORKSTREAM = frozenset({"send", "command", "close_workstream", "cancel"})
TO_NODE = TO_WORKSTREAM | {"create_workstream"}

#: Types that may ask for labels of the node: what makes a workstream.
TO_LABELS = frozenset({"send", "create_workstream"})

_MARK = b"\x01"

#: Bytes of a message too large to be decoded in which it may still say whose it is: what is at
#: its beginning, of plain fields without escapes. The same patterns are in `scripts/prelude.lua`.
_HEAD_MAX = 4_096
_HEAD = re.compile(rb"[ \t\r\n]*\{")
_FIELD = re.compile(
    rb'[ \t\r\n]*"([\]-~ !#-\[]*)"[ \t\r\n]*:[ \t\r\n]*'
    rb'(?:"([\]-~ !#-\[]*)"|[A-Za-z0-9.+-]+)[ \t\r\n]*,'
)


@dataclass(frozen=True, slots=True)
class Entry:
    """`raw` is the message; the rest is empty where it is missing or unusable. `readable`: it
    is a JSON object, not too large, and its id is missing or good, so that it may be given one."""

    raw: bytes
    correlation_id: str = ""
    ws_id: str = ""
    target_node: str = ""
    readable: bool = False
    kind: str = ""  # its type
    requires: str = ""  # see `labels.requirement`
    any_node: bool = False  # may have it, if its own is gone

    @property
    def anonymous(self) -> bool:
        return self.readable and not self.correlation_id


def envelope(correlation_id: str, raw: bytes) -> bytes:
    return _MARK + correlation_id.encode() + b"\n" + raw


def read(entry: bytes) -> Entry:
    """What the entry says about its way. Raises nothing, whatever is in it."""
    given, raw = _split(entry)
    large = len(raw) > MESSAGE_MAX
    message = _beginning(raw) if large else _object(raw)
    if message is None:
        return Entry(raw, given)
    kind = message.get("type") if isinstance(message.get("type"), str) else ""
    own = message.get("correlation_id")
    good = own is None or is_correlation(own)
    ws_id = _name(message.get("ws_id")) if kind in TO_WORKSTREAM else ""
    return Entry(
        raw,
        given or (own if isinstance(own, str) and good else ""),
        ws_id,
        _name(message.get("target_node")) if kind in TO_NODE else "",
        readable=good and not large,
        kind=str(kind),
        requires=requirement(message.get("requires")) if kind in TO_LABELS else "",
        any_node=kind == "send" and not ws_id and message.get("if_unavailable") == "any",
    )


def is_correlation(own: object) -> bool:
    """Whether a sender may call a message so."""
    return (
        isinstance(own, str) and len(own.encode()) <= CORRELATION_MAX and not own.startswith(GIVEN)
    )


def check_text(raw: bytes, value: Any) -> None:
    """Half of a surrogate pair is no text, and JSON can spell it. Raises UnicodeEncodeError."""
    if b"\\ud" in raw or b"\\uD" in raw:
        json.dumps(value, ensure_ascii=False).encode()


def _split(entry: bytes) -> tuple[str, bytes]:
    if entry.startswith(_MARK):
        head, feed, raw = entry[1:].partition(b"\n")
        if feed:
            return head.decode(errors="replace"), raw
    return "", entry


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(raw.decode())
        check_text(raw, message)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _beginning(raw: bytes) -> dict[str, Any]:
    """The flat string fields at the beginning of an object that is too large to be decoded.

    Everything before them is flat too, so they are fields of the object itself.
    """
    head, found = raw[:_HEAD_MAX], {}
    place = _HEAD.match(head)
    while place and (place := _FIELD.match(head, place.end())):
        key, value = place.groups()
        if value is not None:
            found[key.decode()] = value.decode()
    return found


def _name(value: object) -> str:
    return value if isinstance(value, str) and NAME.fullmatch(value) else ""
