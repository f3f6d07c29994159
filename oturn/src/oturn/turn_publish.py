"""What one turn tells subscribers: everything until it is over, then nothing but its ending.

What does not stop when a turn is cancelled (a transport, a tool, a policy that swallows the
cancel) is left to itself, and may go on talking; from then on nobody hears it.
"""

from __future__ import annotations

from typing import Any

from oturn.questions import Publish, Question


class TurnPublish:
    """A `Publish` that can be closed. A question that comes behind that is given up at once."""

    def __init__(self, publish: Publish) -> None:
        self.over = False
        self._publish = publish

    async def __call__(self, event: Any) -> None:
        if not self.over:
            await self._publish(event)
        elif isinstance(event, Question):
            event.grace = 0.0

    async def ending(self, event: Any) -> None:
        """Publish what tells that the turn is over."""
        await self._publish(event)

    def close(self) -> None:
        """The turn is over: only its ending is published from here on."""
        self.over = True
