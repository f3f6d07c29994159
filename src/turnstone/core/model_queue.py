"""Who asks an endpoint next, and from when on it may be asked. Pure: no clock, no waiting.

The line is fair between holders (a workstream with all its sub-agents is one): they take turns, and of each holder the request
that came first goes first. A request that the endpoint refused for now keeps its place before
all that were never sent. Whoever leaves the line leaves nothing behind in it.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from dataclasses import dataclass, field

from oturn.errors import ModelError

#: Statuses by which a provider says that it takes no more requests for now.
BUSY_STATUSES = frozenset({429, 503, 529})

#: Waits where the provider names none, or names one that did not help: the first, and the
#: longest, in seconds.
_FIRST, _LONGEST = 1.0, 30.0
#: No wait is shorter: a provider that says 0 is not asked without end.
_SHORTEST = 0.05
#: What is told is taken for no more seconds than these.
_DAY = 86_400.0
#: By how much of itself such a wait is cut at random.
_JITTER = 0.25
#: So many requests may be sent without an answer, and the endpoint counts as open again.
_OPEN = 64


def asks_to_wait(error: ModelError) -> bool:
    """Whether this is the provider's word that it takes no more requests for now."""
    return error.kind == "rate_limited" or error.status in BUSY_STATUSES


@dataclass(slots=True, eq=False)
class Ticket:
    """A request in line, or under way."""

    number: int  # in the order of coming
    holder: str
    refused: float | None = None  # when the endpoint refused it for the first time


@dataclass(slots=True)
class Line:
    _numbers: int = 0
    _again: list[Ticket] = field(default_factory=list)  # refused once, the oldest first
    _fresh: dict[str, deque[Ticket]] = field(default_factory=dict)  # by holder, the next one first

    def __len__(self) -> int:
        return len(self._again) + sum(map(len, self._fresh.values()))

    def join(self, holder: str) -> Ticket:
        self._numbers += 1
        ticket = Ticket(self._numbers, holder)
        self._fresh.setdefault(holder, deque()).append(ticket)
        return ticket

    def back(self, ticket: Ticket) -> None:
        """It was taken, sent and refused: it goes before all that were not."""
        insort(self._again, ticket, key=lambda one: one.number)

    def leave(self, ticket: Ticket) -> None:
        """It is not wanted any more. Raises ValueError for one that is not in line."""
        if ticket in self._again:
            self._again.remove(ticket)
            return
        mine = self._fresh.get(ticket.holder, deque())
        mine.remove(ticket)
        if not mine:
            del self._fresh[ticket.holder]

    def first(self) -> Ticket | None:
        """Who is next."""
        if self._again:
            return self._again[0]
        return next((mine[0] for mine in self._fresh.values()), None)

    def take(self) -> Ticket:
        """Let the next one go; its holder is behind all others then. Raises LookupError."""
        ticket = self.first()
        if ticket is None:
            raise LookupError("nobody is in line")
        self.leave(ticket)
        if ticket.holder in self._fresh:
            self._fresh[ticket.holder] = self._fresh.pop(ticket.holder)
        return ticket


@dataclass(slots=True)
class BackOff:
    """When an endpoint that refused a request may be asked again, and by how many at a time.

    Nobody asks before the time that it named. Then one asks; each answer lets one more ask
    beside it, so that they are twice as many after each round, and no herd.
    """

    until: float = 0.0  # on the clock of whoever calls
    why: ModelError | None = None  # the refusal that holds, or held last
    _since: float = -1.0  # when it was refused last
    _strikes: int = 0  # refusals in a row
    _opening: int = 0  # how many may be asking at a time; 0: any number

    def refused(self, error: ModelError, *, sent: float, now: float, chance: float) -> None:
        """A request that was sent at `sent` was refused. `chance`: a random number from 0 to 1."""
        if sent > self._since:  # those that were under way together are refused together
            self._strikes += 1
            self._since = now
        wait = self._wait(error.retry_after, chance)
        if self._opening == 0 or now + wait > self.until:
            self.why = error
        self.until = max(self.until, now + wait)
        self._opening = 1

    def _wait(self, told: float | None, chance: float) -> float:
        strikes = self._strikes if told is None else self._strikes - 1
        own = _FIRST * 2.0 ** min(strikes - 1, 16) * (1 - _JITTER * chance) if strikes else 0.0
        return max(min(told or 0.0, _DAY), min(_LONGEST, own), _SHORTEST)

    def answered(self, *, sent: float) -> None:
        """A request that was sent at `sent` is being answered."""
        if sent <= self._since:
            return  # it was sent before the last refusal, and says nothing of what holds now
        self._strikes = 0
        if self._opening:
            self._opening = (self._opening + 1) % _OPEN

    def admits(self, asking: int, now: float) -> bool:
        """Whether one more may ask, beside `asking` that wait for their first word."""
        return now >= self.until and (self._opening == 0 or asking < self._opening)
