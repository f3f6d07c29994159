"""One message that a worker is to carry to its end, and what it says of itself. Data only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from turnstone.mq import protocol as p
from turnstone.mq.work import Claimed, Lane

#: The form of a workstream's id (contract, section 0.1).
_WS_ID = re.compile(r"[0-9a-f]{8}")


@dataclass
class Job:
    """One message that this node is to carry to its end. `claimed` is None for one that an
    earlier process of the node had accepted; `place` is where it was in the line of what this one
    claimed, and `bound` says that an earlier try may have had effects here."""

    message: p.InboundMessage
    correlation_id: str
    epoch: int
    lane: Lane
    raw: bytes
    claimed: Claimed | None = None
    tries: int = 1
    bound: bool = False
    place: int = 0
    made_ws_id: str = ""  # what the workstream is called that it makes, once that is decided

    @property
    def asks_for_new(self) -> bool:
        """It names a workstream that is to be made, if it is not there."""
        return json.loads(self.raw).get("create") is True

    @property
    def proposed_ws_id(self) -> str:
        """What our own clients would like the workstream to be called that this one makes. Its
        way through the queue is that of a message without a workstream."""
        proposed = json.loads(self.raw).get("new_ws_id")
        return proposed if isinstance(proposed, str) and _WS_ID.fullmatch(proposed) else ""
