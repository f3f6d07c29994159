"""Whether a message is anywhere in the queue: read from Redis, for a program that asks for its turn.

A message that no node has looked at has no record yet, and may wait in any list. It changes
nothing, and holds Redis up for a page of one list at a time.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from turnstone.mq.entry import read
from turnstone.mq.inspect import is_list
from turnstone.mq.keys import Keys

Ask = Callable[..., Awaitable[Any]]

#: Entries that are read at once, and names that one SCAN looks at.
_PAGE, _SCAN = 500, 1_000


async def known(ask: Ask, keys: Keys, correlation_id: str) -> bool:
    """False: no record has this id, and no list had a message of it while they were read. One that
    was on its way between two lists may have been missed. Raises QueueUnavailable."""
    record = keys.message(correlation_id)
    if await ask("EXISTS", record) or await waiting(ask, keys, correlation_id) is not None:
        return True
    return bool(await ask("EXISTS", record))


async def waiting(ask: Ask, keys: Keys, correlation_id: str) -> bytes | None:
    """The message of this id that waits in a list. Raises QueueUnavailable."""
    for name in await _lists(ask, keys):
        found = await _in_list(ask, name, correlation_id)
        if found is not None:
            return found
    return None


async def _lists(ask: Ask, keys: Keys) -> list[str]:
    found: set[str] = set()
    cursor: Any = "0"
    while True:
        pattern = keys.pattern(keys.prefix) + ":*"
        cursor, names = await ask(
            "SCAN", cursor, "MATCH", pattern, "COUNT", str(_SCAN), "TYPE", "list"
        )
        found |= {name.decode(errors="replace") for name in names}
        if int(cursor) == 0:
            return sorted(name for name in found if is_list(keys, name))


async def _in_list(ask: Ask, name: str, correlation_id: str) -> bytes | None:
    # An entry is only read where it may name the message: reading is slow.
    spellings = {correlation_id.encode(), json.dumps(correlation_id)[1:-1].encode()}
    begin = 0
    while page := await ask("LRANGE", name, str(begin), str(begin + _PAGE - 1)):
        may = (read(entry) for entry in page if any(one in entry for one in spellings))
        for entry in may:
            if entry.correlation_id == correlation_id:
                return entry.raw
        begin += _PAGE
    return None
