"""Timers of a cluster: kept in Redis, or in memory, where all its nodes see the same ones.

Whichever node moves a timer on pushes its runs in that same step, so that they are sent once,
whatever dies before or after. The times are the queue's clock's; what follows from them is for
`core.timers` to say.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from turnstone.core.errors import InvalidRequest
from turnstone.core.timers import Due, NewTimer, Timer, run_id
from turnstone.mq import keys as limits
from turnstone.mq.client_wire import encoded
from turnstone.mq.entry import NAME
from turnstone.mq.inbound import SendMessage
from turnstone.mq.keys import Keys
from turnstone.mq.memory_broker import MemoryBroker
from turnstone.mq.signing import Keyring, Untrusted

log = logging.getLogger(__name__)

#: Timers that are looked at in one step, and those that are listed.
BATCH, LISTED = 100, 10_000

#: Where the text of a timer says what it is called.
_NAMED = re.compile(rb'"timer_id": ?"([A-Za-z0-9._-]{1,128})"')
_BEGINNING = 1_024

#: The score of one that has no next time, and stays.
_NEVER = float("inf")


class Run(Protocol):
    """Runs a script of `scripts/`, and raises QueueUnavailable."""

    async def __call__(self, name: str, keys: Sequence[str], /, *values: Any) -> Any: ...


class Ask(Protocol):
    """Runs a command, and raises QueueUnavailable."""

    async def __call__(self, *command: Any) -> Any: ...


class RedisTimers:
    """Implements `QueueTimers` on Redis."""

    def __init__(self, keys: Keys, run: Run, ask: Ask, keyring: Keyring | None = None) -> None:
        self._keys, self._run, self._ask = keys, run, ask
        self._trust = TimerTrust(keyring)

    async def due(self, skip: int = 0) -> Due:
        now, following, looked, *found = await self._look(BATCH, "due", skip)
        timers = self._trust.readable(found)
        left_out, more = looked - len(timers), looked == BATCH
        return Due(float(now), timers, float(following or 0.0), left_out, more)

    async def timers(self) -> list[Timer]:
        _, _, _, *found = await self._look(LISTED, "all", 0)
        return self._trust.readable(found)

    async def renew(self) -> int:
        if not self._trust.renews:
            return 0
        skip, count, looked = 0, 0, BATCH
        while looked == BATCH:
            _, _, looked, *found = await self._look(BATCH, "all", skip)
            for timer in self._trust.aged(found):
                count += await self.swap(timer)
            skip += looked
        return count

    async def _look(self, most: int, which: str, skip: int) -> Any:
        return await self._run("timers", [self._keys.timers], most, which, skip)

    async def timer(self, timer_id: str) -> Timer | None:
        found = await self._ask("HGET", self._keys.timer(timer_id), "timer")
        return next(iter(self._trust.readable([found])), None) if found else None

    async def swap(self, timer: Timer, runs: Sequence[float] = ()) -> bool:
        keys = [self._keys.timers, self._keys.timer(timer.timer_id), self._keys.inbound]
        place = "" if not timer.lives else "+inf" if _place(timer) == _NEVER else repr(timer.due)
        values = (timer.timer_id, timer.revision, self._trust.written(timer), place)
        sent = [self._trust.run(timer, due) for due in runs]
        return bool(await self._run("swaptimer", keys, *values, limits.CID_TTL, *sent))


class MemoryTimers:
    """The same in this process: the twin, script for script."""

    def __init__(self, broker: MemoryBroker, keyring: Keyring | None = None) -> None:
        self._broker = broker
        self._trust = TimerTrust(keyring)

    async def due(self, skip: int = 0) -> Due:
        now = self._broker.clock.now()
        found = [one for one in self._living() if _place(one) <= now][skip : skip + BATCH]
        following = [one.due for one in self._living() if now < _place(one) < _NEVER]
        return Due(now, found, min(following, default=0.0), more=len(found) == BATCH)

    async def timers(self) -> list[Timer]:
        return self._living()[:LISTED]

    async def renew(self) -> int:
        if not self._trust.renews:
            return 0
        found = list(self._broker.timers.values())
        return sum([await self.swap(one) for one in self._trust.aged(found) if one.lives])

    async def timer(self, timer_id: str) -> Timer | None:
        found = self._broker.timers.get(timer_id)
        return next(iter(self._trust.readable([found])), None) if found else None

    async def swap(self, timer: Timer, runs: Sequence[float] = ()) -> bool:
        there = self._broker.timers.get(timer.timer_id)
        if (_revision(there) if there else 0) != timer.revision - 1:
            return False
        self._broker.timers[timer.timer_id] = self._trust.written(timer)
        for due in runs:
            self._broker.push(self._broker.keys.inbound, self._trust.run(timer, due))
        return True

    def _living(self) -> list[Timer]:
        found = self._trust.readable(list(self._broker.timers.values()))
        living = [one for one in found if one.lives]
        return sorted(living, key=lambda one: (_place(one), one.timer_id))


def timer_id_of(correlation_id: str) -> str:
    """What the timer is called that a message makes: as the message, if that can be a name."""
    if NAME.fullmatch(correlation_id):
        return correlation_id
    return hashlib.sha256(correlation_id.encode()).hexdigest()[:12]


def wanted_of(message: SendMessage, correlation_id: str) -> NewTimer:
    """The timer that a message asks for. Raises InvalidRequest for what no timer keeps."""
    if message.if_unavailable == "any":
        raise InvalidRequest(
            "if_unavailable: a timer whose node is gone has its run told as lost.",
            hint="Leave out if_unavailable, or target_node.",
        )
    return NewTimer(
        timer_id=timer_id_of(correlation_id),
        message=message.message,
        ws_id=message.ws_id,
        name=message.name,
        auto_approve=message.auto_approve,
        auto_approve_tools=message.auto_approve_tools,
        target_node=message.target_node,
        requires=message.requires,
        not_before=message.not_before,
        every=message.every,
        timezone=message.timezone or "UTC",
        missed=message.missed or "once",  # type: ignore[arg-type]  # anybody may have written it; it is looked at where a timer is set up
        until=message.until,
    )


def message_of(timer: Timer, due: float) -> bytes:
    """The message of one run, the same bytes whoever makes it."""
    return encoded(
        SendMessage(
            correlation_id=run_id(timer, due),
            timestamp=due,
            ws_id=timer.ws_id,
            message=timer.message,
            auto_approve=timer.auto_approve,
            auto_approve_tools=timer.auto_approve_tools,
            name=timer.name,
            target_node=timer.target_node,
            requires=timer.requires,
        )
    )


def _place(timer: Timer) -> float:
    return timer.due if timer.state == "active" and timer.due else _NEVER


def _revision(text: bytes) -> int:
    """As it is stored beside the text in Redis, whoever wrote that."""
    return msgspec.json.decode(text, type=Timer).revision


class TimerTrust:
    """Timers as they are written and read. With a keyring they are signed, as their runs are."""

    def __init__(self, keyring: Keyring | None) -> None:
        self._keyring = keyring
        self._told: set[bytes] = set()  # digests of what was told to be left out

    @property
    def renews(self) -> bool:
        """Whether the first secret here may send what timers send."""
        return self._keyring is not None and self._keyring.first.may_send("send")

    def aged(self, found: Sequence[bytes]) -> list[Timer]:
        """The next revision of those that another secret than the first has signed. One that
        would permit less then is left to whoever gives the first that right."""
        assert self._keyring is not None
        first = self._keyring.first
        return [
            msgspec.structs.replace(timer, revision=timer.revision + 1)
            for text in found
            for timer in self.readable([text])
            if self._keyring.signer(text).key_id != first.key_id
            and (first.auto_approve or not (timer.auto_approve or timer.auto_approve_tools))
        ]

    def written(self, timer: Timer) -> bytes:
        text = msgspec.json.encode(timer)
        return text if self._keyring is None else self._keyring.signed(text)

    def run(self, timer: Timer, due: float) -> bytes:
        """The message of one run, signed now: it may be due for longer than a message waits."""
        message = message_of(timer, due)
        return message if self._keyring is None else self._keyring.signed(message, time.time())

    def readable(self, found: Sequence[bytes]) -> list[Timer]:
        """Those that can be read and are trusted: another hand, or a newer version, may have
        written them. Who may not permit calls beforehand cannot do so by a timer either."""
        timers = []
        for text in found:
            try:
                timer = msgspec.json.decode(text, type=Timer)
                timers.append(timer if self._permits(text) else _asked(timer))
            except (msgspec.DecodeError, Untrusted) as error:
                self._tell(text, error)
        return timers

    def _tell(self, text: bytes, error: Exception) -> None:
        """Once for each: it is met again at each look."""
        digest = hashlib.sha256(text).digest()
        if digest in self._told:
            return
        if len(self._told) >= LISTED:
            self._told.clear()
        self._told.add(digest)
        name = _NAMED.search(text[:_BEGINNING])
        called = f" ({name[1].decode()})" if name else ""
        log.error("a timer in the queue%s cannot be read, and is left out: %s", called, error)

    def _permits(self, text: bytes) -> bool:
        if self._keyring is None:
            return True
        key = self._keyring.signer(text)
        if not key.may_send("send"):
            raise Untrusted(f"It is signed with a secret of the role {key.role}.")
        return key.auto_approve


def _asked(timer: Timer) -> Timer:
    return msgspec.structs.replace(timer, auto_approve=False, auto_approve_tools=[])
