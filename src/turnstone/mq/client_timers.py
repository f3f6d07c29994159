"""What a client does about timers: the times that a message is given, and what is kept of it.

Mistakes in them are told to the program at once, and not by an event later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from turnstone.core.errors import InvalidRequest
from turnstone.core.timers import Missed, NewTimer, set_up
from turnstone.mq.errors import MalformedMessage
from turnstone.mq.inbound import SendMessage
from turnstone.mq.keys import Keys
from turnstone.mq.lua import script
from turnstone.mq.protocol import parse
from turnstone.mq.signing import Keyring, Untrusted
from turnstone.mq.timers import Ask, RedisTimers, wanted_of

#: A time as programs name it: Unix seconds, or a datetime that says its time zone.
When: TypeAlias = float | datetime | None


def timed(
    sent: SendMessage,
    not_before: When,
    every: str,
    timezone: str,
    missed: Missed,
    until: When,
) -> SendMessage:
    """The message with the times at which it is to be sent; as it is where there are none.

    Raises TypeError and ValueError for what is no time, InvalidRequest for what cannot be.
    """
    given = replace(
        sent,
        not_before=seconds_of("not_before", not_before),
        every=every,
        timezone=timezone,
        missed=missed,
        until=seconds_of("until", until),
    )
    if not given.timed:
        if (timezone, missed) != ("UTC", "once"):
            raise ValueError(
                "timezone and missed are for a message that is sent later: give its not_before or"
                " every too."
            )
        return sent
    set_up(wanted_of(given, given.correlation_id), time.time())
    return given


def seconds_of(name: str, when: When) -> float:
    """Unix seconds; 0 for none."""
    if when is None:
        return 0.0
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise ValueError(f"{name}: the datetime {when} has no time zone; give it one.")
        return when.timestamp()
    if isinstance(when, bool) or not isinstance(when, int | float):
        raise TypeError(f"{name}: Unix seconds or a datetime, and not {type(when).__name__}")
    return float(when)


def timer_in(raw: bytes, timer_id: str, keyring: Keyring | None) -> NewTimer | None:
    """The timer that a message of this id asks for; None where it asks for none, or cannot be read.
    Who signs is content only with what was signed with the same secret: it is signed anew."""
    try:
        message = parse(raw)
        trusted = keyring is None or keyring.signer(raw) == keyring.first
        if not (trusted and isinstance(message, SendMessage) and message.timed):
            return None
        return wanted_of(message, timer_id)
    except (MalformedMessage, Untrusted, InvalidRequest):
        return None


def timers_by(keys: Keys, ask: Ask, keyring: Keyring | None = None) -> RedisTimers:
    """The timers in Redis, for a program that has commands only."""

    async def run(name: str, names: Sequence[str], *values: Any) -> Any:
        arguments = (str(len(names)), *names, keys.prefix, *values)
        return await ask("EVAL", script(name).source, *arguments)

    return RedisTimers(keys, run, ask, keyring)
