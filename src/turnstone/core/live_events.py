"""Live events: told to readers, never kept. Pure data; see `turnstone.core.events`."""

from __future__ import annotations

from turnstone.core.event_base import (
    Event,
    HistoryMessage,
    Left,
    Origin,
    State,
)


class Content(Event, frozen=True, kw_only=True):
    """A piece of the answer's text."""

    text: str = ""


class Reasoning(Event, frozen=True, kw_only=True):
    """A piece of the model's reasoning."""

    text: str = ""


class StreamReset(Event, frozen=True, kw_only=True):
    """The text streamed since the last `step_started` is void: the model is asked again."""

    step: int = 1


class ToolOutput(Event, frozen=True, kw_only=True):
    """Output of a command while it runs."""

    call_id: str = ""
    text: str = ""


class Status(Event, frozen=True, kw_only=True):
    """The cost of a turn, just before its ending. Numbers of its last request; `pct` in percent."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    context_window: int = 0
    pct: float = 0.0
    effort: str = ""
    left: Left = Left()  # of the budget, its own or one above: whichever is nearer to its end


class Info(Event, frozen=True, kw_only=True):
    message: str = ""


class Error(Event, frozen=True, kw_only=True):
    message: str = ""
    code: str = ""


class BusyError(Event, frozen=True, kw_only=True):
    message: str = ""


class Connected(Event, frozen=True, kw_only=True):
    """The first event that a new reader gets."""

    model: str = ""
    skip_permissions: bool = False
    name: str = ""
    state: State = "idle"


class Truncated(Event, frozen=True, kw_only=True):
    """The reader missed events that are gone: drop what you have, a snapshot follows."""


class History(Event, frozen=True, kw_only=True):
    """The conversation so far: the snapshot that a reader starts from.

    What the step in progress has streamed already follows it as `reasoning` and `content`,
    each call that runs as `tool_started` and what it has printed as `tool_output`, and the
    question that waits as `approval_asked`. All of them carry one id: the place up to which
    the snapshot is complete.
    """

    messages: list[HistoryMessage] = []


class WsState(Event, frozen=True, kw_only=True):
    """The state of a workstream, on the node's global stream."""

    state: State = "idle"
    tokens: int = 0
    context_ratio: float = 0.0
    activity: str = ""
    activity_state: str = ""
    queued: int = 0  # accepted messages that wait for the turn in progress


class AgentProgress(Event, frozen=True, kw_only=True):
    """What a sub-agent of this workstream is doing. Its own stream has the rest."""

    call_id: str = ""
    origin: Origin = Origin()
    state: State = "idle"
    activity: str = ""


class ClearUi(Event, frozen=True, kw_only=True):
    """The conversation became another one: drop what you show; a `history` follows."""
