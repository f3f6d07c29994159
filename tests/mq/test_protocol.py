"""The wire of the queue, byte for byte as 0.2 had it, and what a worker makes of other bytes."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnstone.mq import protocol
from turnstone.mq.protocol import (
    InboundMessage,
    MalformedMessage,
    OutboundEvent,
    SendMessage,
    parse,
    problem_of,
)

#: type → class, and the fields after the common ones with their defaults (contract, 3.1).
INBOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "send": (
        "SendMessage",
        {
            "ws_id": "",
            "message": "",
            "auto_approve": False,
            "auto_approve_tools": [],
            "name": "",
            "target_node": "",
        },
    ),
    "approve": (
        "ApproveMessage",
        {"ws_id": "", "request_id": "", "approved": True, "feedback": None, "always": False},
    ),
    "plan_feedback": ("PlanFeedbackMessage", {"ws_id": "", "request_id": "", "feedback": ""}),
    "command": ("CommandMessage", {"ws_id": "", "command": ""}),
    "create_workstream": (
        "CreateWorkstreamMessage",
        {"name": "", "auto_approve": False, "auto_approve_tools": [], "target_node": ""},
    ),
    "close_workstream": ("CloseWorkstreamMessage", {"ws_id": ""}),
    "list_workstreams": ("ListWorkstreamsMessage", {}),
    "health": ("HealthMessage", {}),
    "list_nodes": ("ListNodesMessage", {}),
}

#: The same for events (contract, 3.2).
OUTBOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "ack": ("AckEvent", {"status": "ok", "detail": ""}),
    "content": ("ContentEvent", {"text": ""}),
    "reasoning": ("ReasoningEvent", {"text": ""}),
    "tool_info": ("ToolInfoEvent", {"items": []}),
    "approval_request": ("ApprovalRequestEvent", {"items": []}),
    "tool_result": ("ToolResultEvent", {"name": "", "output": ""}),
    "plan_review": ("PlanReviewEvent", {"content": ""}),
    "status": (
        "StatusEvent",
        {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 0,
            "context_window": 0,
            "pct": 0.0,
            "effort": "",
        },
    ),
    "state_change": ("StateChangeEvent", {"state": ""}),
    "turn_complete": ("TurnCompleteEvent", {}),
    "stream_end": ("StreamEndEvent", {}),
    "ws_created": ("WorkstreamCreatedEvent", {"name": ""}),
    "ws_closed": ("WorkstreamClosedEvent", {}),
    "ws_list": ("WorkstreamListEvent", {"workstreams": []}),
    "ws_rename": ("WorkstreamRenameEvent", {"name": ""}),
    "health_response": ("HealthResponseEvent", {"data": {}}),
    "error": ("ErrorEvent", {"message": ""}),
    "info": ("InfoEvent", {"message": ""}),
    "node_list": ("NodeListEvent", {"nodes": []}),
    "cluster_state": (
        "ClusterStateEvent",
        {
            "state": "",
            "node_id": "",
            "tokens": 0,
            "context_ratio": 0.0,
            "activity": "",
            "activity_state": "",
        },
    ),
}


#: What 0.2 did not have.
TIMERS: dict[str, tuple[str, dict[str, Any]]] = {
    "list_timers": ("ListTimersMessage", {}),
    "cancel_timer": ("CancelTimerMessage", {"timer_id": ""}),
    "pause_timer": ("PauseTimerMessage", {"timer_id": "", "paused": True}),
}
INBOUND |= TIMERS | {"cancel": ("CancelMessage", {"ws_id": "", "message_id": ""})}
OUTBOUND["timer_list"] = ("TimerListEvent", {"timers": []})


@pytest.mark.parametrize("kind", INBOUND)
def test_a_message_has_the_fields_and_defaults_of_the_wire_in_their_order(kind: str) -> None:
    name, defaults = INBOUND[kind]
    message = getattr(protocol, name)(correlation_id="0123456789ab", timestamp=1.5)
    wanted = {"type": kind, "correlation_id": "0123456789ab", "timestamp": 1.5} | defaults
    assert message.to_json() == json.dumps(wanted)
    assert InboundMessage.from_json(message.to_json()) == message
    assert parse(message.to_json().encode()) == message


@pytest.mark.parametrize("kind", OUTBOUND)
def test_an_event_has_the_fields_and_defaults_of_the_wire_in_their_order(kind: str) -> None:
    name, defaults = OUTBOUND[kind]
    event = getattr(protocol, name)(timestamp=1.5)
    wanted = {"type": kind, "ws_id": "", "correlation_id": "", "timestamp": 1.5} | defaults
    assert event.to_json() == json.dumps(wanted)
    back = OutboundEvent.from_json(event.to_json())
    assert back == event
    assert type(back) is type(event)


def test_the_wire_is_python_s_own_json_in_ascii() -> None:
    message = SendMessage("send", "0123456789ab", 1760000000.25, "ab12cd34", "Grüße\u2028", True)
    assert message.to_json() == (
        '{"type": "send", "correlation_id": "0123456789ab", "timestamp": 1760000000.25, '
        '"ws_id": "ab12cd34", "message": "Gr\\u00fc\\u00dfe\\u2028", "auto_approve": true, '
        '"auto_approve_tools": [], "name": "", "target_node": ""}'
    )


def test_a_message_makes_its_own_id_and_time() -> None:
    first, second = SendMessage(), SendMessage()
    assert re.fullmatch("[0-9a-f]{12}", first.correlation_id)
    assert first.correlation_id != second.correlation_id
    assert first.timestamp > 1_700_000_000
    first.auto_approve_tools.append("bash")
    assert second.auto_approve_tools == []


def test_every_type_of_the_contract_is_there_and_no_other() -> None:
    assert set(InboundMessage._types) == set(INBOUND)
    assert set(OutboundEvent._types) == set(OUTBOUND)


def test_unknown_fields_are_dropped_and_missing_ones_take_their_defaults() -> None:
    message = InboundMessage.from_json('{"type": "send", "message": "x", "busy": "reject"}')
    assert isinstance(message, SendMessage)
    assert (message.message, message.ws_id, len(message.correlation_id)) == ("x", "", 12)
    assert not hasattr(message, "busy")
    event = OutboundEvent.from_json('{"type": "content", "text": "x", "later": 1}')
    assert (event.ws_id, getattr(event, "text", None), event.extra) == ("", "x", {})


@pytest.mark.parametrize("text", ['{"type": "sing"}', '{"type": 5}', "{}", "[]", "{"])
def test_a_message_of_unknown_type_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        InboundMessage.from_json(text)


def test_an_event_of_unknown_type_keeps_what_all_events_have() -> None:
    text = '{"type": "new", "ws_id": "w", "correlation_id": "c", "timestamp": 2, "x": 1}'
    event = OutboundEvent.from_json(text)
    assert type(event) is OutboundEvent
    assert event == OutboundEvent("new", "w", "c", 2)


def test_what_we_add_to_an_event_travels_with_it() -> None:
    event = protocol.ContentEvent(ws_id="w", text="x", timestamp=1.0)
    event.extra = {"event_id": "3-1", "seq": 3}
    assert json.loads(event.to_json())["event_id"] == "3-1"
    assert OutboundEvent.from_json(event.to_json()).extra == {"event_id": "3-1", "seq": 3}
    assert [f.name for f in fields(event)] == [
        "type",
        "ws_id",
        "correlation_id",
        "timestamp",
        "text",
    ]


def deep(levels: int) -> bytes:
    return b'{"type": "send", "x": ' + b"[" * levels + b"]" * levels + b"}"


MALFORMED = {
    "too long": (b'{"message": "' + b"x" * 1_048_576 + b'"}', "1048591 bytes"),
    "not UTF-8": (b'{"type": "send", "message": "\xff"}', "not UTF-8"),
    "a lone surrogate": (b'{"type": "send", "message": "\\ud800"}', "not UTF-8"),
    "a BOM": (b'\xef\xbb\xbf{"type": "send"}', "not JSON"),
    "not JSON": (b'{"type": send}', "not JSON"),
    "hexadecimal": (b'{"type": "send", "timestamp": 0x10}', "not JSON"),
    "not a number": (b'{"type": "send", "timestamp": NaN}', "NaN is no number"),
    "a number of 5,000 digits": (b'{"type": "send", "x": ' + b"9" * 5_000 + b"}", "not JSON"),
    "too deep": (deep(100_000), "nested too deeply"),
    "a list": (b"[]", "not an object"),
    "nothing": (b"", "not JSON"),
    "no type": (b"{}", "has no type; there are send"),
    "an unknown type": (b'{"type": "sing"}', 'type "sing"'),
    "a type that is none": (b'{"type": {"a": 1}}', "type {"),
    "a number for text": (b'{"type": "send", "message": 5}', "field message must be a string"),
    "a word for a flag": (b'{"type": "send", "auto_approve": "yes"}', "must be true or false"),
    "a flag for a number": (b'{"type": "send", "timestamp": true}', "must be a number"),
    "text for a list": (b'{"type": "send", "auto_approve_tools": "x"}', "a list of strings"),
    "a list of numbers": (b'{"type": "send", "auto_approve_tools": [1]}', "a list of strings"),
    "a path": (b'{"type": "send", "ws_id": "../x"}', "field ws_id must be"),
    "a long name": (b'{"type": "send", "target_node": "' + b"n" * 129 + b'"}', "field target_node"),
    "a newline": (b'{"type": "send", "ws_id": "abc\\n"}', "field ws_id must be"),
    "null for a place": (b'{"type": "send", "ws_id": null}', "must be a string, not null"),
    "a number for an id": (b'{"type": "send", "correlation_id": 5}', "field correlation_id"),
    "a long id": (b'{"type": "send", "correlation_id": "' + b"c" * 257 + b'"}', "at most 256"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_message_that_cannot_be_read_is_refused_in_one_sentence(case: str) -> None:
    raw, reason = MALFORMED[case]
    with pytest.raises(MalformedMessage) as refused:
        parse(raw)
    assert reason in refused.value.reason
    assert refused.value.reason.endswith(".")
    assert len(refused.value.reason) < 250
    assert problem_of(raw) == refused.value.reason


def test_a_message_is_read_with_all_that_others_may_write_into_it() -> None:
    raw = (
        b' {"type": "approve", "feedback": null, "correlation_id": null, "not_before": 5,'
        b' "message": 5, "request_id": "any text \xc3\xa9"} '
    )
    message = parse(raw)
    assert isinstance(message, protocol.ApproveMessage)
    assert (message.correlation_id, message.request_id) == ("", "any text é")
    assert problem_of(raw) == ""


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(raw: bytes) -> None:
    problem_of(raw)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_no_value_of_a_field_raises_anything_but_a_refusal(value: object) -> None:
    for name in ("type", "correlation_id", "ws_id", "auto_approve_tools", "timestamp"):
        problem_of(json.dumps({"type": "send", name: value}).encode())
