"""Whether the server before which a bridge stands answers: asked before each beat, and before a
message is bound to it, so that the queue takes a server that stands still for one that is gone.

It never decides what becomes of a message.
"""

from __future__ import annotations

import asyncio
import logging

from turnstone.core.errors import NodeUnavailable, TurnstoneError
from turnstone.core.host import Host

log = logging.getLogger(__name__)

#: Seconds between two looks at a server that does not answer.
_PAUSE = 0.5


class Probe:
    """That of one server. `patience`: seconds for one answer. `up` is clear while none comes."""

    def __init__(self, host: Host, patience: float) -> None:
        self._host, self._patience = host, patience
        self.up = asyncio.Event()
        self.up.set()

    async def answers(self) -> None:
        """Return once the server has answered, asked now or later."""
        while not await self._ask():
            if self.up.is_set():
                log.warning(
                    "the server does not answer: its bridge beats no more, and leaves the work that"
                    " it has not handed over to others"
                )
                self.up.clear()
            await asyncio.sleep(_PAUSE)
        if not self.up.is_set():
            log.warning("the server answers again")
            self.up.set()

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(self._patience):
                await self._host.health()
        except (NodeUnavailable, TimeoutError):
            return False
        except TurnstoneError:
            pass  # it answers, whatever it thinks of the question
        return True
