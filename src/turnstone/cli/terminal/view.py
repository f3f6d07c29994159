"""A workstream as the terminal shows it: a fold of its events. Pure: no terminal, no clock.

`fold` gives the next view, and what is to be printed once, above everything that is still
alive. The view itself is what is alive: the end of the answer that is coming, the tools that
run, the questions that wait, the messages that are queued, the numbers of the status bar.
An event costs the same however long the conversation is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeAlias

from turnstone.cli.terminal import history, printed
from turnstone.cli.terminal import view_turn as turn
from turnstone.cli.terminal.printed import Printed
from turnstone.cli.terminal.seams import Asked
from turnstone.cli.terminal.view_types import NO_STATUS, Queued, Running, View
from turnstone.core import events as ev

__all__ = ["Queued", "Running", "View", "fold", "known"]

#: The turn in progress when a terminal joins in the middle of it.
_UNKNOWN = "?"

Step: TypeAlias = tuple[View, Sequence[Printed]]


def known(view: View, own_id: str) -> View:
    """A message, an answer or a command of the person here is about to be sent, by its id."""
    return replace(view, own=view.own | {own_id})


def fold(view: View, event: ev.Event) -> Step:
    """The view after this event, and what is to be printed. Events come in their order, each
    once (`cli.bridge` sees to that)."""
    out: list[Printed] = []
    if view.broken:
        view = turn.tell_broken(view, event, out)
    if isinstance(event, _OF_A_TURN):
        view = _begun(view, event, out)
    match event:
        case ev.Content():
            view = turn.content(view, event.text, out, event.timestamp)
        case ev.Reasoning():
            since = view.thinking_since or event.timestamp
            view = replace(view, reasoning=view.reasoning + event.text, thinking_since=since)
        case ev.StepStarted():
            view = replace(view, since=event.timestamp, streamed="")
        case ev.StreamReset() | ev.StepFailed():
            view = turn.broke_off(view, out)
        case ev.StepFinished():
            view = turn.step_finished(view, event, out)
        case ev.ToolStarted():
            view = turn.tool_started(view, event)
        case ev.ToolOutput():
            view = turn.tool_changed(view, event.call_id, output=event.text)
        case ev.AgentProgress():
            doing = f"{event.origin.name}: {event.activity or event.state}"
            view = turn.tool_changed(view, event.call_id, agent=doing)
        case ev.ToolFinished():
            view = turn.tool_finished(view, event, out)
        case _:
            view = _about(view, event, out)
    return view, out


_OF_A_TURN = (
    ev.TurnResumed
    | ev.StepStarted
    | ev.StepFinished
    | ev.StepFailed
    | ev.ApprovalAsked
    | ev.PlanAsked
    | ev.CallsDecided
    | ev.ToolStarted
    | ev.ToolFinished
    | ev.Content
    | ev.Reasoning
)


def _begun(view: View, event: ev.Event, out: list[Printed]) -> View:
    """The turn that this event is of is in progress; messages that it has taken are said now."""
    if getattr(event, "origin", None) is not None:
        return view  # of a sub-agent
    taken = {event.correlation_id}
    if isinstance(event, ev.StepStarted):
        taken.update(event.steered)
    for message in view.queued:
        if message.correlation_id in taken:
            steered = message.correlation_id != event.correlation_id
            out.append(printed.Said(message.text, message.sender, steered, message.files))
    queued = tuple(m for m in view.queued if m.correlation_id not in taken)
    if event.correlation_id and event.correlation_id != view.turn:
        view = replace(view, turn=event.correlation_id, since=event.timestamp, failed=False)
    return replace(view, queued=queued) if len(queued) != len(view.queued) else view


def _about(view: View, event: ev.Event, out: list[Printed]) -> View:
    """What is not the work of a turn itself."""
    match event:
        case ev.Connected():
            return _joined(view, event)
        case ev.History():
            out.extend(history.printed_of(event.messages))
            return view
        case ev.ClearUi():
            out.append(printed.Divider(view.name))
            return view
        case ev.MessageAccepted():
            return _accepted(view, event, out)
        case ev.ApprovalAsked() | ev.PlanAsked():
            return _asked(view, event)
        case ev.ApprovalAnswered() | ev.PlanAnswered():
            if event.request_id not in view.own:
                out.append(printed.Note(_answered(event)))
            return _settled(view, event.request_id)
        case ev.CallsDecided():
            open_ = [q for q in view.questions if q.origin or isinstance(q, ev.PlanAsked)]
            return replace(view, questions=tuple(open_))
        case ev.CancelRequested():
            return replace(view, stopping=True, questions=())
        case ev.TurnEnded():
            return _ended(view, event, out)
        case ev.Status():
            return replace(view, status=event)
        case ev.SettingsChanged():
            return replace(view, model=event.model) if event.model else view
        case ev.WsRename():
            return replace(view, name=event.name or view.name)
        case ev.WsClosed():
            out.append(printed.Note("This workstream was closed.", "warn"))
            return replace(view, closed=True, questions=(), tools=(), turn="")
    return _told(view, event, out)


def _joined(view: View, event: ev.Connected) -> View:
    """Of a turn that runs already, the next of its events tells the id."""
    return replace(
        view,
        ws_id=event.ws_id,
        name=event.name,
        model=event.model,
        turn="" if event.state in ("idle", "error") else _UNKNOWN,
        failed=event.state == "error",
    )


def _told(view: View, event: ev.Event, out: list[Printed]) -> View:
    match event:
        case ev.Error() | ev.Info() if event.correlation_id in view.own:
            pass  # it was the answer to a command, and is shown
        case ev.Error() if event.code != "turn_failed":
            out.append(printed.Note(event.message, "bad"))
        case ev.Info():
            out.append(printed.Note(event.message))
        case ev.TurnResumed():
            said = f"The node took this turn up again (attempt {event.attempt})."
            out.append(printed.Note(said))
    return view


def _accepted(view: View, event: ev.MessageAccepted, out: list[Printed]) -> View:
    sender = "" if event.correlation_id in view.own else event.sender or "somebody else"
    files = tuple(one.name for one in event.attachments)
    if not view.turn and not view.queued:
        out.append(printed.Said(event.message, sender, files=files))
        return replace(
            view, turn=event.correlation_id, since=event.timestamp, failed=False, stopping=False
        )
    queued = Queued(event.correlation_id, event.message, sender, event.steer, files)
    return replace(view, queued=(*view.queued, queued))


def _asked(view: View, event: Asked) -> View:
    items = view.items
    if isinstance(event, ev.ApprovalAsked) and event.origin is None:
        items = MappingProxyType({**items, **{item.call_id: item for item in event.items}})
    if any(asked.request_id == event.request_id for asked in view.questions):
        return view
    return replace(view, items=items, questions=(*view.questions, event))


def _settled(view: View, request_id: str) -> View:
    return replace(view, questions=tuple(q for q in view.questions if q.request_id != request_id))


def _answered(event: ev.ApprovalAnswered | ev.PlanAnswered) -> str:
    by = event.by or "somebody else"
    if isinstance(event, ev.PlanAnswered):
        return f"the plan was answered by {by}: {event.feedback or 'accepted'}"
    verdict = "changed" if event.edited else "allowed" if event.approved else "refused"
    return f"{verdict} by {by}" + (f": {event.feedback}" if event.feedback else "")


def _ended(view: View, event: ev.TurnEnded, out: list[Printed]) -> View:
    out.extend(  # its turn ended before anything was done in it
        printed.Said(message.text, message.sender, bool(event.turn), message.files)
        for message in view.queued
        if message.correlation_id == event.correlation_id and event.begun
    )
    view = replace(view, queued=_without(view.queued, event.correlation_id))
    if not event.begun:
        out.append(printed.Note("A message that waited was taken back."))
    if not event.ends_turn:
        return view
    view = turn.rest(view, out)
    status = view.status if view.status.correlation_id == event.correlation_id else NO_STATUS
    tokens = event.usage.total_tokens if event.usage else status.total_tokens
    pct = status.pct if status.context_window else 0.0
    out.append(printed.Ending(event.outcome, event.reason, event.seconds, tokens, pct))
    return replace(
        view,
        turn="",
        stopping=False,
        failed=event.outcome == "failed",
        tools=(),
        questions=(),
        items=MappingProxyType({}),
        broken=False,
    )


def _without(queued: tuple[Queued, ...], correlation_id: str) -> tuple[Queued, ...]:
    return tuple(message for message in queued if message.correlation_id != correlation_id)
