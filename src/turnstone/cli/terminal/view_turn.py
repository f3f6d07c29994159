"""The work of a turn, as a view has it: the model's answer, and its tool calls. Pure."""

from __future__ import annotations

from dataclasses import replace

from turnstone.cli.terminal import printed
from turnstone.cli.terminal.blocks import feed, finish
from turnstone.cli.terminal.printed import Printed
from turnstone.cli.terminal.view_types import NOTHING, Running, View
from turnstone.core import events as ev

#: Characters of a running call's output that are kept: its end, which is looked at.
OUTPUT_KEPT = 8_000


def content(view: View, text: str, out: list[Printed], at: float = 0.0) -> View:
    view = thought(view, out, at)
    blocks, given = feed(view.blocks, text)
    out.extend(map(printed.Answer, given))
    return replace(view, blocks=blocks, streamed=view.streamed + text)


def thought(view: View, out: list[Printed], until: float = 0.0) -> View:
    """What was reasoned is over."""
    if view.reasoning.strip():
        seconds = max(0.0, until - view.thinking_since) if until else 0.0
        out.append(printed.Thought(view.reasoning, seconds))
    return replace(view, reasoning="", thinking_since=0.0) if view.reasoning else view


def rest(view: View, out: list[Printed]) -> View:
    """The answer, as far as it has come, is printed to its end."""
    view = thought(view, out)
    out.extend(map(printed.Answer, finish(view.blocks)))
    return replace(view, blocks=NOTHING, streamed="")


def broke_off(view: View, out: list[Printed]) -> View:
    begun = bool(view.streamed or view.reasoning)
    return replace(rest(view, out), broken=view.broken or begun)


def tell_broken(view: View, event: ev.Event, out: list[Printed]) -> View:
    """What comes next says whether the model is asked again."""
    match event:
        case ev.CancelRequested() | ev.StepFailed() | ev.TurnEnded():
            out.append(printed.Note("The answer broke off."))
        case ev.Content() | ev.Reasoning() | ev.StepStarted() | ev.StepFinished():
            out.append(printed.Note("The answer broke off; the model is asked again."))
        case _:
            return view
    return replace(view, broken=False)


def step_finished(view: View, event: ev.StepFinished, out: list[Printed]) -> View:
    """The answer is whole: what of it had not streamed is printed too."""
    view = thought(view, out, event.timestamp)
    if event.text.startswith(view.streamed):
        view = content(view, event.text[len(view.streamed) :], out)
    else:
        view = rest(view, out)
        out.append(printed.Note("The answer broke off; this is the whole of it."))
        view = content(view, event.text, out)
    return rest(view, out)


def tool_started(view: View, event: ev.ToolStarted) -> View:
    item = event.item or view.items.get(event.call_id)
    header, preview = (item.header, item.preview) if item else (event.name, "")
    run = Running(event.call_id, event.name, header or event.name, preview, event.timestamp)
    others = tuple(tool for tool in view.tools if tool.call_id != event.call_id)
    return replace(view, tools=(*others, run), since=event.timestamp)


def tool_changed(view: View, call_id: str, *, output: str = "", agent: str = "") -> View:
    def changed(tool: Running) -> Running:
        if tool.call_id != call_id:
            return tool
        kept = (tool.output + output)[-OUTPUT_KEPT:] if output else tool.output
        return replace(tool, output=kept, agent=agent or tool.agent)

    return replace(view, tools=tuple(map(changed, view.tools)))


def tool_finished(view: View, event: ev.ToolFinished, out: list[Printed]) -> View:
    run = next((tool for tool in view.tools if tool.call_id == event.call_id), None)
    item = view.items.get(event.call_id)
    if run is not None:
        header, preview = run.header, run.preview
    else:
        header, preview = (item.header, item.preview) if item else (event.name, "")
    seconds = max(0.0, event.timestamp - run.started) if run is not None else None
    card = printed.Card(event.name, header, event.status, event.output, preview, seconds)
    out.append(card)
    left = tuple(tool for tool in view.tools if tool.call_id != event.call_id)
    return replace(view, tools=left, since=event.timestamp)
