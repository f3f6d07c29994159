"""The admitting step in this process, the twin of `scripts/admit.lua`: it counts a try, and says
whether the message is to be run. It runs nothing."""

from __future__ import annotations

import json
import time
from collections import deque

from turnstone.mq.digest import digest
from turnstone.mq.entry import read
from turnstone.mq.memory_broker import MemoryBroker, Record
from turnstone.mq.memory_ending import bury, letter, tell
from turnstone.mq.work import Admission, Admitted, Claimed


class Admitting:
    """One call. `held` is the processing list that the entry is in."""

    def __init__(
        self,
        broker: MemoryBroker,
        node_id: str,
        incarnation: str,
        held: deque[bytes],
        max_tries: int,
    ) -> None:
        self._broker, self._node_id, self._incarnation = broker, node_id, incarnation
        self._held, self._max_tries = held, max_tries

    def run(self, claimed: Claimed, *, bind: bool, attempt: str) -> Admitted:
        ends = self._broker.alive(self._incarnation)
        if ends is None:
            return Admitted("lapsed")
        if bad := self._broker.record_misused(claimed.correlation_id):
            self._bury(claimed, bad)
            return Admitted("dead")
        found = self._broker.records.get(claimed.correlation_id, Record())
        said = digest(claimed.raw)
        settled = (
            self._another_text(claimed, found, said)
            or self._ended(claimed, found)
            or self._taken_care_of(claimed, found)
            or self._again(found, attempt)
        )
        if settled is not None:
            return settled
        record = self._broker.records.setdefault(claimed.correlation_id, found)
        record.tries += 1
        if record.tries > self._max_tries:
            self._bury(
                claimed,
                f"The message was tried {self._max_tries} times and was never taken on:"
                " it is given up.",
            )
            return Admitted("dead", record.epoch, record.tries)
        record.epoch += 1
        record.state, record.node, record.ws_id = "claimed", self._node_id, claimed.ws_id
        record.incarnation, record.until = self._incarnation, ends
        record.attempt, record.was_bound = attempt, record.fx
        record.digest = said or record.digest
        record.fx = record.fx or bind
        return Admitted("run", record.epoch, record.tries, record.was_bound)

    def _another_text(self, claimed: Claimed, record: Record, said: str) -> Admitted | None:
        """The answer for another text under an id that is in use."""
        if not record.digest or not said or record.digest == said:
            return None
        if self._remove(claimed):
            self._refuse(claimed, record)
        return Admitted("refused", record.epoch, record.tries)

    def _refuse(self, claimed: Claimed, record: Record) -> None:
        cid, ws_id = claimed.correlation_id, claimed.ws_id
        why = (
            f"Another text was sent under the correlation id {cid} before this one:"
            " send it under an id of its own."
        )
        names = {"ws_id": ws_id, "correlation_id": cid, "timestamp": time.time()}
        told: list[dict[str, object]] = [{"type": "error", **names, "message": why}]
        # An ending only where it cannot be taken for that of the first.
        if record.state in {"done", "dead"} or (ws_id and ws_id != record.ws_id):
            told.append({"type": "turn_complete", **names})
        letter(self._broker, cid, ws_id, read(claimed.entry).raw, why, 0, self._node_id)
        ending = [json.dumps(event).encode() for event in told]
        tell(self._broker, Record(ws_id=ws_id, ending=ending))

    def _ended(self, claimed: Claimed, record: Record) -> Admitted | None:
        """The answer for a message that needs no run any more."""
        if record.state == "accepted":
            self._remove(claimed)
            return Admitted("accepted", record.epoch, record.tries)
        if record.state in {"done", "dead"}:
            if self._remove(claimed):
                tell(self._broker, record)
            ended: Admission = "done" if record.state == "done" else "dead"
            return Admitted(ended, record.epoch, record.tries)
        return None

    def _taken_care_of(self, claimed: Claimed, record: Record) -> Admitted | None:
        """The answer for an entry that is gone from here, or that another is at work on."""
        if claimed.entry not in self._held:
            return Admitted("fenced", record.epoch, record.tries)
        hold = self._broker.beats.hold
        if not record.state and hold is not None and self._broker.clock.now() < hold:
            return Admitted("held", record.epoch, record.tries)
        if record.state != "claimed" or record.node == self._node_id:
            return None
        if record.fx:
            self._remove(claimed)
            self._broker.push(self._broker.keys.directed_stage(record.node), claimed.entry)
            return Admitted("elsewhere", record.epoch, record.tries)
        held = self._broker.alive(record.incarnation) is not None
        if held and record.until > self._broker.clock.now():
            return Admitted("held", record.epoch, record.tries)
        return None

    def _again(self, record: Record, attempt: str) -> Admitted | None:
        """The same attempt once more, whose answer was lost."""
        mine = record.node == self._node_id and record.incarnation == self._incarnation
        if record.state != "claimed" or not mine or not attempt or record.attempt != attempt:
            return None
        return Admitted("run", record.epoch, record.tries, record.was_bound)

    def _bury(self, claimed: Claimed, reason: str) -> None:
        if self._remove(claimed):
            cid, ws_id = claimed.correlation_id, claimed.ws_id
            bury(self._broker, cid, ws_id, read(claimed.entry).raw, reason, self._node_id)

    def _remove(self, claimed: Claimed) -> bool:
        if claimed.entry not in self._held:
            return False
        self._held.remove(claimed.entry)
        return True
