"""Between the journal and the reducer: which record is which signal. Pure, in both directions.

The journal of a turn *is* the sequence of its reducer's signals, with what people and tools
need added to each. So a turn that was cut off is rebuilt by feeding them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from oturn import signals as s
from oturn.agent_stream_state import tool_call
from oturn.turn import TurnState, initial, reduce
from turnstone.core.events import (
    ApprovalAsked,
    CallsDecided,
    CancelRequested,
    Event,
    StepFailed,
    StepFinished,
    StepStarted,
    ToolFinished,
    ToolStarted,
    Usage,
)


def signal_of(event: Event) -> s.Signal | None:
    """The signal that a record stands for; None for one that the reducer knows nothing of."""
    match event:
        case StepStarted():
            return s.StepStarted(event.step)
        case StepFinished():
            return s.StepFinished(_message_of(event))
        case StepFailed():
            return s.StepFailed(event.error)
        case ApprovalAsked():
            return s.ApprovalAsked(event.request_id, tuple(i.call_id for i in event.items))
        case CallsDecided():
            return s.CallsDecided(
                tuple(
                    s.Decision(d.call_id, d.verdict, d.reason, d.concurrent)
                    for d in event.decisions
                )
            )
        case ToolStarted():
            return s.ToolStarted(event.call_id)
        case ToolFinished():
            return s.ToolFinished(event.call_id, event.status, event.output)
        case CancelRequested():
            return s.Cancelled(event.reason, event.outcome)
    return None


def state_after(records: Iterable[Event], max_steps: int) -> TurnState:
    """Where the turn with these records stands."""
    state = reduce(initial(max_steps), s.TurnStarted()).state
    for event in records:
        signal = signal_of(event)
        if signal is not None:
            state = reduce(state, signal).state
    return state


def _message_of(event: StepFinished) -> s.AssistantMessage:
    return s.AssistantMessage(
        text=event.text,
        reasoning=event.reasoning,
        tool_calls=tuple(
            tool_call(c.id, c.name, c.arguments, event.finish or None) for c in event.tool_calls
        ),
        model=event.model or None,
        finish=event.finish or None,
    )


def usage_of(usage: Mapping[str, Any] | None) -> Usage | None:
    """A provider's token counts; whatever is no count in them is taken as 0."""
    if usage is None:
        return None

    def count(key: str) -> int:
        value = usage.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    prompt, completion = count("prompt_tokens"), count("completion_tokens")
    return Usage(prompt, completion, count("total_tokens") or prompt + completion)
