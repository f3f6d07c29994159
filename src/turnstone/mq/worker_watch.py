"""Whether the Redis of a worker still keeps what it is given: looked at now and then.

It tells, once when that is over and once when it is mended, and stops nothing: to take work out
of such a Redis is better than to leave it there.
"""

from __future__ import annotations

import logging

from turnstone.mq.errors import QueueBroken, QueueUnavailable
from turnstone.mq.work import Work

log = logging.getLogger(__name__)

#: Beats between two looks: about a minute.
_EVERY = 12


class Watch:
    """That of one worker. `look` is called with every beat."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._beats = 0
        self._told = ""

    async def look(self) -> None:
        self._beats += 1
        if self._beats % _EVERY != 1:
            return
        try:
            problem = await self._work.unsafe()
        except (QueueUnavailable, QueueBroken):
            return  # the next beat tells of that
        if problem and not self._told:
            log.error("worker %s: work may be lost: %s", self._work.node_id, problem)
        if self._told and not problem:
            log.warning("worker %s: this is over: %s", self._work.node_id, self._told)
        self._told = problem
