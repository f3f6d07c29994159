"""What the queue's 0.2 wire says of our events."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from turnstone.core import events as ev
from turnstone.core.events import Event, ToolItem
from turnstone.mq.protocol import OutboundEvent
from turnstone.mq.wire import channels, outbound, refusal

ITEM = ToolItem(call_id="k1", name="bash", func_name="bash", header="$ ls", needs_approval=True)
FREE = msgspec.structs.replace(ITEM, needs_approval=False)

#: Our event → what 0.2 is told: type and own fields of each.
TOLD: list[tuple[Event, list[tuple[str, dict[str, Any]]]]] = [
    (ev.Content(text="é"), [("content", {"text": "é"})]),
    (ev.Reasoning(text="r"), [("reasoning", {"text": "r"})]),
    (ev.StepFinished(text="é"), [("stream_end", {})]),
    (ev.StepFailed(error="x"), [("stream_end", {})]),
    (ev.StreamReset(), [("stream_reset", {})]),
    (
        ev.ToolFinished(name="bash", output="out", call_id="k1"),
        [("tool_result", {"name": "bash", "output": "out", "call_id": "k1", "status": "ok"})],
    ),
    (
        ev.Status(prompt_tokens=1, completion_tokens=2, total_tokens=3, pct=0.5, effort="low"),
        [("status", {"prompt_tokens": 1, "total_tokens": 3, "pct": 0.5, "effort": "low"})],
    ),
    (ev.Error(message="m", code="c"), [("error", {"message": "m", "code": "c"})]),
    (
        ev.Error(message="the turn is kept", code="store"),
        [("info", {"message": "the turn is kept"})],
    ),
    (ev.Info(message="m"), [("info", {"message": "m"})]),
    (ev.TurnEnded(outcome="done"), [("turn_complete", {"outcome": "done"})]),
    (
        ev.TurnEnded(outcome="failed", reason="no model"),
        [("error", {"message": "no model"}), ("turn_complete", {"outcome": "failed"})],
    ),
    (
        ev.TurnEnded(outcome="max_steps", reason="too many"),
        [("info", {"message": "too many"}), ("turn_complete", {"outcome": "max_steps"})],
    ),
    (ev.TurnEnded(outcome="cancelled"), [("turn_complete", {"outcome": "cancelled"})]),
    (ev.WsCreated(name="n"), [("ws_created", {"name": "n", "node_id": "node"})]),
    (ev.WsRename(name="n"), [("ws_rename", {"name": "n"})]),
    (ev.WsClosed(), [("ws_closed", {"node_id": "node"})]),
    (
        ev.WsState(state="running", tokens=5, context_ratio=0.25, activity="bash"),
        [
            ("state_change", {"state": "running"}),
            ("cluster_state", {"state": "running", "node_id": "node", "tokens": 5}),
        ],
    ),
    (ev.MessageAccepted(message="x"), []),
    (ev.StepStarted(), []),
    (ev.BusyError(message="x"), []),
    (ev.History(), []),
    (ev.ToolStarted(call_id="k1", name="bash", item=None), []),
    (ev.ToolStarted(call_id="k1", name="bash", item=ITEM), []),
]


@pytest.mark.parametrize(("event", "wanted"), TOLD, ids=[event.type for event, _ in TOLD])
def test_an_event_is_told_as_0_2_would(
    event: Event, wanted: list[tuple[str, dict[str, Any]]]
) -> None:
    placed = msgspec.structs.replace(
        event, ws_id="w1", id="7-2", correlation_id="c1", timestamp=1.5
    )
    told = [json.loads(one.to_json()) for one in outbound(placed, "node")]

    assert [one["type"] for one in told] == [kind for kind, _ in wanted]
    common = {"ws_id": "w1", "correlation_id": "c1", "event_id": "7-2", "seq": 7, "timestamp": 1.5}
    for one, (_, own) in zip(told, wanted, strict=True):
        assert common | own == {name: one[name] for name in common | own}


def test_a_question_carries_its_request_id_where_clients_look_for_it() -> None:
    event = ev.ApprovalAsked(request_id="r1", items=[ITEM], correlation_id="c1", ws_id="w1")
    (asked,) = outbound(event)
    told = json.loads(asked.to_json())
    assert (told["type"], told["correlation_id"]) == ("approval_request", "r1")
    assert told["turn_correlation_id"] == "c1"
    assert (told["items"][0]["name"], told["items"][0]["func_name"]) == ("bash", "bash")


def test_a_call_that_needs_no_question_is_shown_when_it_starts() -> None:
    (shown,) = outbound(ev.ToolStarted(call_id="k1", name="bash", item=FREE))
    assert shown.type == "tool_info"
    assert json.loads(shown.to_json())["items"][0]["header"] == "$ ls"


def test_an_event_that_has_no_time_yet_is_told_with_that_of_its_telling() -> None:
    (told,) = outbound(ev.Content(text="x"))
    assert told.timestamp > 1_700_000_000
    assert told.extra == {}


def test_events_go_to_the_channels_where_0_2_looks_for_them() -> None:
    wanted = {
        "content": ("ws",),
        "turn_complete": ("ws",),
        "state_change": ("ws", "global"),
        "ws_created": ("global", "cluster"),
        "cluster_state": ("cluster",),
        "node_list": ("global",),
    }
    assert {kind: channels(OutboundEvent(type=kind)) for kind in wanted} == wanted


def test_a_refusal_says_why_and_that_this_was_all() -> None:
    error, end = refusal("No.", "c1", "w1")
    assert (error.type, error.correlation_id, error.ws_id) == ("error", "c1", "w1")
    assert (end.type, end.correlation_id, end.ws_id) == ("turn_complete", "c1", "w1")
