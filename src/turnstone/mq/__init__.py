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
    from turnstone.mq.results import (
        MessageRefused,
        TurnFailed,
        TurnResult,
        TurnTimedOut,
        TurnUnanswered,
    )

__all__ = [
    "AsyncTurnstoneClient",
    "MessageBroker",
    "MessageRefused",
    "RedisBroker",
    "TurnFailed",
    "TurnResult",
    "TurnTimedOut",
    "TurnUnanswered",
    "TurnstoneClient",
]

_HOMES = {
    "AsyncTurnstoneClient": "client_async",
    "MessageBroker": "broker",
    "MessageRefused": "results",
    "RedisBroker": "broker",
    "TurnFailed": "results",
    "TurnResult": "results",
    "TurnTimedOut": "results",
    "TurnUnanswered": "results",
    "TurnstoneClient": "client",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
