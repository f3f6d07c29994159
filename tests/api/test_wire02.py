"""Our events in the names of the 0.2 wire, and back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from turnstone.api import wire02
from turnstone.core import events as ev

COMMON: dict[str, Any] = {
    "ws_id": "0123abcd",
    "id": "7-2",
    "correlation_id": "0123456789ab",
    "timestamp": 1.5,
}
ITEM = ev.ToolItem(call_id="c1", name="bash", func_name="bash", header="bash: ls")
ASKED = msgspec.structs.replace(ITEM, needs_approval=True)


def one_of_each() -> list[ev.Event]:
    events: list[ev.Event] = [kind(**COMMON) for kind in ev.Event.__subclasses__()]
    return [
        *events,
        ev.ToolStarted(**COMMON, call_id="c1", name="bash", item=ITEM),
        ev.ToolStarted(**COMMON, call_id="c1", name="bash", item=ASKED),
        ev.ApprovalAsked(**COMMON, request_id="r1", items=[ASKED, ITEM]),
        ev.Content(**COMMON, text="line\nline\u2028\u0085é\ud7ff"),
    ]


@pytest.mark.parametrize("event", one_of_each(), ids=lambda e: e.type)
def test_every_event_keeps_its_fields_and_can_be_restored(event: ev.Event) -> None:
    spelled = json.loads(wire02.encode(event))
    ours = msgspec.to_builtins(event)
    del ours["type"]

    assert spelled.items() >= ours.items()
    assert wire02.restore(spelled) == event


@pytest.mark.parametrize("event", one_of_each(), ids=lambda e: e.type)
def test_every_event_is_one_line_of_ascii(event: ev.Event) -> None:
    line = wire02.encode(event).decode("ascii")
    assert line.splitlines() == [line]


@pytest.mark.parametrize(
    ("event", "name"),
    [
        (ev.StepStarted(), "thinking_start"),
        (ev.StepFinished(), "stream_end"),
        (ev.StepFailed(), "stream_end"),
        (ev.ApprovalAsked(), "approve_request"),
        (ev.ToolStarted(item=ITEM), "tool_info"),
        (ev.ToolFinished(), "tool_result"),
        (ev.Content(), "content"),
        (ev.WsState(), "ws_state"),
        (ev.TurnEnded(), "turn_ended"),
    ],
)
def test_the_names_are_those_of_the_contract(event: ev.Event, name: str) -> None:
    assert wire02.spell(event)["type"] == name


def test_a_call_that_needs_no_question_is_told_with_its_item() -> None:
    spelled = wire02.spell(ev.ToolStarted(item=ITEM))
    [item] = spelled["items"]
    fields = {"header", "preview", "func_name", "name", "approval_label", "needs_approval", "error"}
    assert item.keys() >= fields


def test_a_call_that_was_asked_about_is_not_shown_to_readers_of_0_2_again() -> None:
    assert wire02.spell(ev.ToolStarted(item=ASKED))["type"] == "tool_started"


def test_what_the_global_stream_tells_is_spelled_alike_in_both() -> None:
    told = (ev.WsState, ev.WsCreated, ev.WsRename, ev.WsClosed, ev.Truncated)
    assert not {kind.__struct_config__.tag for kind in told} & wire02.RENAMED.keys()


def test_an_unknown_type_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        wire02.restore({"type": "no_such_event"})


def test_what_0_2_said_beside_is_said_at_the_first_piece_and_at_the_end_of_a_step() -> None:
    beside = wire02.Companions()
    told: list[str] = []
    for event in (
        ev.StepStarted(id="2-0"),
        ev.Reasoning(id="2-1", text="hm"),
        ev.Content(id="2-2", text="a"),
        ev.StepFinished(id="3-0"),
    ):
        for companion in (beside.before(event), event, beside.behind(event)):
            if isinstance(companion, bytes):
                spelled = json.loads(companion)
                assert spelled["id"] == event.id
                told.append(spelled["type"])
            elif companion is not None:
                told.append(companion.type)
    assert told == [
        "step_started",
        "thinking_stop",
        "reasoning",
        "content",
        "step_finished",
        "thinking_stop",
    ]


def test_a_state_of_the_whole_node_is_followed_by_what_it_does() -> None:
    told = wire02.Companions().behind(
        ev.WsState(ws_id="a", id="0-4", state="running", activity="ls", activity_state="tool")
    )
    assert told is not None
    spelled = json.loads(told)
    assert spelled["type"] == "ws_activity"
    assert (spelled["ws_id"], spelled["activity"], spelled["activity_state"]) == ("a", "ls", "tool")
