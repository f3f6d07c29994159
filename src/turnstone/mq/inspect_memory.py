"""`Inspector` on the broker in memory: the twin of `inspect_redis`."""

from __future__ import annotations

from turnstone.mq.errors import UnknownLetter
from turnstone.mq.inspect import LeaseView, Letter, ListView, QueueView, again, age, is_list
from turnstone.mq.memory_broker import DeadLetter, MemoryBroker
from turnstone.mq.signing import Keyring


class MemoryInspector:
    def __init__(self, broker: MemoryBroker, keyring: Keyring | None = None) -> None:
        self.place = "memory"
        self._keyring = keyring
        self.keys = broker.keys
        self._broker = broker

    async def view(self) -> QueueView:
        broker, keys = self._broker, self.keys
        now = broker.clock.now()
        return QueueView(
            prefix=keys.prefix,
            lists=tuple(
                ListView(name=name, length=len(held), oldest=age(held[0], now))
                for name, held in sorted(broker.lists.items())
                if held and is_list(keys, name)
            ),
            leases=tuple(_lease(member, ends - now) for member, ends in _by_end(broker.leases)),
            seats={
                name.removeprefix(keys.seat("")): holder
                for name, holder in sorted(broker.seats.items())
                if broker.alive(holder) is not None
            },
            inflight={node: len(held) for node, held in sorted(broker.inflight.items()) if held},
            labels={node: " ".join(labels) for node, labels in broker.labels.items()},
            strays={name: round(max(0.0, now - at), 3) for name, at in broker.strays.items()},
            unmet={name: round(max(0.0, now - at), 3) for name, at in broker.waits.items()},
            dead=len(broker.dead),
        )

    async def letters(self, limit: int = 50, before: str = "") -> list[Letter]:
        found = self._broker.dead
        if before:
            found = [one for one in found if _place(one.id) < _place(before)]
        return [_letter(one) for one in reversed(found)][:limit]

    async def letter(self, letter_id: str) -> Letter:
        return _letter(self._broker.dead[self._at(letter_id)])

    async def replay(self, letter_id: str, *, trust: bool = False) -> str:
        letter, now = await self.letter(letter_id), self._broker.clock.now()
        new_id, message = again(letter, now, self._keyring, trust=trust)
        del self._broker.dead[self._at(letter_id)]
        self._broker.send(message)
        return new_id

    async def drop(self, letter_id: str) -> None:
        del self._broker.dead[self._at(letter_id)]

    async def purge(self) -> int:
        count = len(self._broker.dead)
        self._broker.dead.clear()
        return count

    async def others(self) -> list[str]:
        return []  # a broker has one prefix

    async def aclose(self) -> None:
        return None

    def _at(self, letter_id: str) -> int:
        for place, one in enumerate(self._broker.dead):
            if one.id == letter_id:
                return place
        raise UnknownLetter(f"There is no dead letter {letter_id}.")


def _by_end(leases: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(leases.items(), key=lambda one: (one[1], one[0].encode()))


def _lease(member: str, left: float) -> LeaseView:
    node, _, boot = member.rpartition("|")
    return LeaseView(node=node, boot=boot, left=round(left, 3))


def _place(letter_id: str) -> tuple[int, int]:
    at, _, number = letter_id.partition("-")
    return int(at), int(number)


def _letter(one: DeadLetter) -> Letter:
    return Letter(
        id=one.id,
        time=one.time,
        correlation_id=one.correlation_id,
        ws_id=one.ws_id,
        reason=one.reason,
        tries=one.tries,
        node=one.node,
        size=one.size,
        raw=one.raw,
    )
