"""From the history to API messages: every call has its result, every result its call."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from oturn import Context, FunctionInfo, Message, ToolCallInfo
from oturn.history import to_api_messages
from oturn.model import CompactRecord


def user(text: str) -> Message:
    return Message(role="user", content=text)


def calling(*ids: str) -> Message:
    calls = [ToolCallInfo(call_id, "function", FunctionInfo("f", {"a": "ü"})) for call_id in ids]
    return Message(role="assistant", content="", tool_calls=calls)


def result(call_id: str, text: str = "done") -> Message:
    return Message(role="tool", content=text, tool_call_id=call_id, name="f")


def test_calls_and_results_are_sent_in_order_with_arguments_as_text() -> None:
    sent = to_api_messages([user("hi"), calling("x"), result("x")])
    assert sent == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "x",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": "ü"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "x", "content": "done", "name": "f"},
    ]


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    sent = to_api_messages([calling("x", "y"), result("y"), user("go on")])
    assert [m["role"] for m in sent] == ["assistant", "tool", "tool", "user"]
    missing = sent[2]
    assert (missing["tool_call_id"], missing["name"]) == ("x", "missing")
    assert json.loads(missing["content"])["error"] == "tool_result_missing"


def test_results_that_belong_to_no_call_or_come_twice_are_left_out() -> None:
    sent = to_api_messages([result("a"), calling("x"), result("b"), result("x"), result("x")])
    assert [m.get("tool_call_id") for m in sent] == [None, "x"]


def test_a_compaction_stands_for_everything_before_it() -> None:
    sent = to_api_messages([user("old"), calling("x"), CompactRecord(value="sum"), user("new")])
    assert [m["content"] for m in sent] == ["sum", "new"]


def test_arguments_that_were_none_are_an_empty_object() -> None:
    call = ToolCallInfo("x", "function", FunctionInfo("f"))
    (sent, _) = to_api_messages([Message(role="assistant", content="", tool_calls=[call])])
    assert sent["tool_calls"][0]["function"]["arguments"] == "{}"


def test_reasoning_name_and_extra_go_to_the_top_level_in_order() -> None:
    message = Message(
        role="assistant",
        content="a",
        name="n",
        reasoning_content="r",
        extra={"reasoning_details": [1]},
    )
    (sent,) = to_api_messages([message])
    assert list(sent) == ["role", "content", "name", "reasoning_content", "reasoning_details"]


def test_a_model_that_does_not_render_itself_is_sent_as_json() -> None:
    class Picture(BaseModel):
        url: str

    (sent,) = to_api_messages([Message(role="user", content=Picture(url="u"))])
    assert sent["content"] == '{"url": "u"}'


def test_a_context_keeps_messages_and_leaves_out_what_says_nothing() -> None:
    context = Context(Path("folder") / "demo.md")
    context.append_message(user("hi"))
    context.append_message([user("  "), calling("x"), {"role": "user"}])  # type: ignore[list-item]
    context.append_compact("sum", "intent")
    assert context.history == [
        user("hi"),
        calling("x"),
        CompactRecord(value="sum", user_intent="intent"),
    ]
    assert context.history is not context.history
    assert context.session_id == "demo"


def test_restoring_says_that_nothing_was_loaded() -> None:
    context = Context(Path("folder") / "demo.md", "given")
    context.append_message(user("hi"))
    assert context.restore() is False
    assert context.history == []
    assert context.session_id == "given"
