"""The conversation so far, as a terminal that joins it is shown it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast, get_args

from turnstone.cli.terminal import printed
from turnstone.cli.terminal.blocks import Blocks, feed, finish
from turnstone.core import events as ev

#: Messages that are shown of it; `/history` finds the others.
SHOWN = 30

_STATUSES = get_args(ev.ToolStatus)


def printed_of(messages: Sequence[ev.HistoryMessage]) -> Iterator[printed.Printed]:
    """The last of these messages, each as it would have been printed."""
    hidden = len(messages) - SHOWN
    if hidden > 0:
        yield printed.Note(f"… {hidden} earlier messages: /history shows them …")
    names: dict[str, str] = {}
    for place, message in enumerate(messages):
        names.update((call.id, call.name) for call in message.tool_calls)
        if place >= hidden:
            yield from _message(message, names)


def _message(message: ev.HistoryMessage, names: dict[str, str]) -> Iterator[printed.Printed]:
    shown = message.shown
    if message.role == "user":
        files = tuple(one.name for one in shown.attachments)
        yield printed.Said(message.content, steered=shown.steered, files=files)
    elif message.role == "assistant":
        if shown.reasoning:
            yield printed.Thought(shown.reasoning)
        blocks, given = feed(Blocks(), message.content)
        yield from map(printed.Answer, [*given, *finish(blocks)])
    else:
        name = names.get(message.tool_call_id, "a tool")
        status = message.status if message.status in _STATUSES else "ok"
        yield printed.Card(
            name,
            shown.header or name,
            cast("ev.ToolStatus", status),
            message.content,
            shown.preview,
            shown.seconds or None,
        )
    if shown.outcome is not None and shown.outcome != "done":
        yield printed.Ending(shown.outcome, shown.reason, shown.worked)
