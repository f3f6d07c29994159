"""`Inspector` on Redis. It asks command by command, so a view is of about one instant; a look
through the names goes a step at a time, and holds nobody up."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from turnstone.mq.connection import RedisAddress, asking
from turnstone.mq.errors import UnknownLetter
from turnstone.mq.inspect import LeaseView, Letter, ListView, QueueView, again, age, is_list
from turnstone.mq.keys import Keys
from turnstone.mq.lua import script
from turnstone.mq.signing import Keyring

#: Names that one step looks at.
_LOOK = 1_000

#: How the names begin, below the prefix, that a view wants: of lists, seats and in flight. Few
#: others begin so.
_LOOK_FOR = ":[ix][n:][bidpsw]*"

_LETTER = re.compile(r"\d{1,20}-\d{1,20}")


class RedisInspector:
    """One connection; close it."""

    def __init__(
        self, address: RedisAddress, prefix: str = "turnstone", keyring: Keyring | None = None
    ) -> None:
        self._keyring = keyring and keyring.of(prefix)
        self.keys = Keys(prefix)
        self._address = address
        self.place = f"Redis at {address}, db {address.db}"
        self._redis: Any = address.client(prefix)

    async def view(self) -> QueueView:
        names = sorted([name async for name in self._names(self.keys.prefix, _LOOK_FOR)])
        now = await self._now()
        return QueueView(
            prefix=self.keys.prefix,
            lists=tuple([one for name in names if (one := await self._list(name, now))]),
            leases=await self._leases(now),
            seats=await self._seats(names),
            inflight=await self._inflight(names),
            labels=_texts(await self._ask("HGETALL", self.keys.labels)),
            strays=await self._ages(self.keys.strays, now),
            unmet=await self._ages(self.keys.waits, now),
            dead=int(await self._ask("XLEN", self.keys.dead)),
        )

    async def letters(self, limit: int = 50, before: str = "") -> list[Letter]:
        end = f"({_checked(before)}" if before else "+"
        found = await self._ask("XREVRANGE", self.keys.dead, end, "-", "COUNT", limit)
        return [_letter(*one) for one in found]

    async def letter(self, letter_id: str) -> Letter:
        place = _checked(letter_id)
        found = await self._ask("XRANGE", self.keys.dead, place, place)
        if not found:
            raise _unknown(letter_id)
        return _letter(*found[0])

    async def replay(self, letter_id: str, *, trust: bool = False) -> str:
        letter, now = await self.letter(letter_id), await self._now()
        new_id, message = again(letter, now, self._keyring, trust=trust)
        names = (self.keys.dead, self.keys.inbound)
        source = script("replay").source
        sent = await self._ask("EVAL", source, 2, *names, self.keys.prefix, letter_id, message)
        if not sent:
            raise _unknown(letter_id)
        return new_id

    async def drop(self, letter_id: str) -> None:
        if not await self._ask("XDEL", self.keys.dead, _checked(letter_id)):
            raise _unknown(letter_id)

    async def purge(self) -> int:
        return int(await self._ask("XTRIM", self.keys.dead, "MAXLEN", 0))

    async def others(self) -> list[str]:
        keys = self.keys
        mine = (keys.alive, keys.seen, keys.inbound, keys.stage, keys.dead)
        if await self._ask("EXISTS", *mine):
            return []
        found = {name.removesuffix(":x:alive") async for name in self._names("", "*:x:alive")}
        found |= {name.removesuffix(":inbound") async for name in self._names("", "*:inbound")}
        found |= {name.partition(":node:")[0] async for name in self._names("", "*:node:*")}
        return sorted(found - {keys.prefix})

    async def aclose(self) -> None:
        await self._redis.aclose()

    async def _list(self, name: str, now: float) -> ListView | None:
        if not is_list(self.keys, name):
            return None
        length = int(await self._ask("LLEN", name))
        head = await self._ask("LINDEX", name, 0) if length else None
        return ListView(name=name, length=length, oldest=age(head, now)) if head else None

    async def _leases(self, now: float) -> tuple[LeaseView, ...]:
        found = await self._ask("ZRANGE", self.keys.alive, 0, -1, "WITHSCORES")
        leases = []
        for member, ends in _pairs(found):
            node, _, boot = member.decode(errors="replace").rpartition("|")
            leases.append(LeaseView(node=node, boot=boot, left=round(float(ends) - now, 3)))
        return tuple(leases)

    async def _seats(self, names: list[str]) -> dict[str, str]:
        beginning, found = self.keys.seat(""), {}
        for name in names:
            if name.startswith(beginning):
                holder = await self._ask("HGET", name, "i")
                if holder is not None:
                    found[name.removeprefix(beginning)] = holder.decode(errors="replace")
        return found

    async def _inflight(self, names: list[str]) -> dict[str, int]:
        beginning = self.keys.inflight("")
        counts = {
            name.removeprefix(beginning): int(await self._ask("HLEN", name))
            for name in names
            if name.startswith(beginning)
        }
        return {node: count for node, count in counts.items() if count}

    async def _ages(self, name: str, now: float) -> dict[str, float]:
        found = await self._ask("ZRANGE", name, 0, -1, "WITHSCORES")
        return {
            member.decode(errors="replace"): round(max(0.0, now - float(since)), 3)
            for member, since in _pairs(found)
        }

    async def _names(self, prefix: str, pattern: str) -> AsyncIterator[str]:
        cursor: Any = 0
        seen: set[str] = set()
        while True:
            wanted = Keys.pattern(prefix) + pattern
            cursor, names = await self._ask("SCAN", cursor, "MATCH", wanted, "COUNT", _LOOK)
            for name in names:
                text = name.decode(errors="replace")
                if text not in seen:  # a look may meet one twice
                    seen.add(text)
                    yield text
            if int(cursor) == 0:
                return

    async def _now(self) -> float:
        seconds, micros = await self._ask("TIME")
        return float(seconds) + float(micros) / 1_000_000

    async def _ask(self, *command: Any) -> Any:
        what = " ".join(str(part) for part in command[:1])
        async with asking(self._address, what=what):
            return await self._redis.execute_command(*command)


def _pairs(found: Any) -> list[tuple[bytes, Any]]:
    """Members and scores, which the driver gives in pairs or one after the other."""
    if found and isinstance(found[0], list | tuple):
        return [tuple(one) for one in found]
    return list(zip(found[::2], found[1::2], strict=True))


def _texts(found: Any) -> dict[str, str]:
    items = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in items}


def _checked(letter_id: str) -> str:
    if not _LETTER.fullmatch(letter_id):
        raise _unknown(letter_id)
    return letter_id


def _unknown(letter_id: str) -> UnknownLetter:
    return UnknownLetter(
        f"There is no dead letter {letter_id}.",
        hint="`turnstone queue dead` lists them by id; one that was replayed or dropped is gone.",
    )


def _letter(letter_id: bytes, fields: dict[bytes, bytes]) -> Letter:
    def text(name: bytes) -> str:
        return fields.get(name, b"").decode(errors="replace")

    raw, place = fields.get(b"raw", b""), letter_id.decode()
    return Letter(
        id=place,
        time=int(place.partition("-")[0]) / 1_000,
        correlation_id=text(b"correlation_id"),
        ws_id=text(b"ws_id"),
        reason=text(b"reason"),
        tries=int(text(b"tries") or 0),
        node=text(b"node"),
        size=int(text(b"bytes") or len(raw)),
        raw=raw,
    )
