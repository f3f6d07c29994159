"""Work for agents through a queue: the names that programs of 0.2 import, and their async twin.

Each is imported when it is first used, so that naming this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turnstone.mq.broker import MessageBroker, RedisBroker
    from turnstone.mq.client import TurnstoneClient
    from turnstone.mq.client_async import AsyncTurnstoneClient
    from turnstone.mq.results import TurnResult

__all__ = [
    "AsyncTurnstoneClient",
    "MessageBroker",
    "RedisBroker",
    "TurnResult",
    "TurnstoneClient",
]

_HOMES = {
    "AsyncTurnstoneClient": "client_async",
    "MessageBroker": "broker",
    "RedisBroker": "broker",
    "TurnResult": "results",
    "TurnstoneClient": "client",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
