"""A client's messages as the bytes that are sent, looked at before they are. Pure.

It never asks anybody: what a node would refuse for its form is told to the program at once.
"""

from __future__ import annotations

import json

from turnstone.api.http_calls import half_of_a_pair
from turnstone.mq import protocol as p
from turnstone.mq.entry import MESSAGE_MAX
from turnstone.mq.signing import Keyring


def encoded(
    message: p.InboundMessage, new_ws_id: str = "", keyring: Keyring | None = None
) -> bytes:
    """The JSON of a message, in UTF-8 and without escapes for letters, so that a text takes the
    room that it has. `new_ws_id`: what to call the workstream that it makes. With a `keyring` it
    is signed.

    Raises ValueError for half of a surrogate pair, and for more bytes than a node takes.
    """
    data = json.loads(message.to_json()) | ({"new_ws_id": new_ws_id} if new_ws_id else {})
    for name, value in data.items():
        if problem := half_of_a_pair(name, value):
            raise ValueError(problem)
    raw = json.dumps(data, ensure_ascii=False).encode()
    raw = raw if keyring is None else keyring.signed(raw)
    if len(raw) > MESSAGE_MAX:
        raise ValueError(
            f"message: it has {len(raw)} bytes as it is sent, with its other fields, and at most"
            f" {MESSAGE_MAX} bytes are taken. Put it into a file that the node can read, and send"
            " its name."
        )
    return raw
