"""What a message says, as a hash: by it a copy is told from another text under the same id.

A copy may be spelled differently: a sender that tries again writes a new time, and a bridge of
0.2 that passes a message on drops what it does not know. So this is made of the fields that
decide what is done, and of those only that are not at their defaults; a newer version with more
fields makes the same of an old message. Pure.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from turnstone.mq.inbound import InboundMessage, made

#: Fields that decide when and where, and not what. The same text in whichever workstream is a
#: copy, as for a node (`Host.send`).
_BESIDE = frozenset({"correlation_id", "timestamp", "target_node"})
_BESIDE_TEXT = _BESIDE | {"ws_id"}


def digest(raw: bytes) -> str:
    """Hexadecimal; empty for what is no message of a known type."""
    try:
        data = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return ""
    kind = data.get("type") if isinstance(data, dict) else None
    known = InboundMessage.of_type(kind)
    if known is None:
        return ""
    default = asdict(known())
    said = {
        name: value
        for name, value in asdict(made(known, data)).items()
        if name not in (_BESIDE_TEXT if kind == "send" else _BESIDE) and value != default[name]
    }
    text = json.dumps([kind, said], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
