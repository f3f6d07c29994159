"""The limits of a turn besides its steps, and for how long it has been worked on. Pure.

The time of a turn is that in which somebody worked on it: from its first record on, without
the time in which a person was asked or sub-agents worked (theirs is counted in their turns),
and without the time after the last record of a process that ended, until another took the
turn up. All of it is read from the records, so that a
restart neither forgives nor adds anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from turnstone.core.events import (
    ApprovalAsked,
    CallsDecided,
    CancelRequested,
    Event,
    StopOutcome,
    ToolFinished,
    ToolStarted,
    TurnResumed,
    Usage,
)


@dataclass(frozen=True, slots=True)
class WorkTime:
    """A fold of a turn's records. `seconds` of work up to the last one."""

    seconds: float = 0.0
    question: bool = False  # a person is asked
    agents: frozenset[str] = frozenset()  # the calls whose sub-agents work
    last: float | None = None  # Unix seconds of the last record

    @property
    def asking(self) -> bool:
        """Others are waited for: nobody works on this turn."""
        return self.question or bool(self.agents)

    def after(self, event: Event) -> WorkTime:
        """The time once this record is there too. A clock that was set, and the sleep of the
        machine, add nothing."""
        worked = self.last is not None and not self.asking and not isinstance(event, TurnResumed)
        seconds = self.seconds
        if worked and event.elapsed is not None:
            seconds += event.elapsed
        elif worked and self.last is not None:
            seconds += max(0.0, event.timestamp - self.last)
        after = replace(self, seconds=seconds, last=event.timestamp)
        match event:
            case ApprovalAsked():
                return replace(after, question=True)
            case CallsDecided():
                return replace(after, question=False)
            case CancelRequested():
                return replace(after, question=False, agents=frozenset())
            case ToolStarted() if event.effect == "agent":
                return replace(after, agents=self.agents | {event.call_id})
            case ToolFinished():
                return replace(after, agents=self.agents - {event.call_id})
        return after


class Stop(NamedTuple):
    """Why a turn is stopped, for a person, and how that is told."""

    reason: str
    outcome: StopOutcome


@dataclass(frozen=True, slots=True)
class Limits:
    """What one turn may use: `seconds` of work, `tokens` in all its requests. 0: no limit."""

    seconds: float = 0.0
    tokens: int = 0

    def passed(self, time: WorkTime, used: Usage | None) -> Stop | None:
        """The limit that a turn has passed, if any."""
        if self.tokens and used is not None and used.total_tokens >= self.tokens:
            return Stop(
                f"stopped after {used.total_tokens:,} tokens; the limit of a turn is "
                f"{self.tokens:,}",
                "max_tokens",
            )
        left = self.left(time)
        return self.out_of_time if left is not None and left <= 0 else None

    def left(self, time: WorkTime) -> float | None:
        """Seconds of work that are left; None where there is no limit, or nobody works."""
        if not self.seconds or time.asking:
            return None
        return self.seconds - time.seconds

    @property
    def out_of_time(self) -> Stop:
        return Stop(f"stopped after {self.seconds:g} s, the time limit of a turn", "max_time")
