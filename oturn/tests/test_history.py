"""From the history to API messages: every call has its result, every result its call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from oturn import Context, FunctionInfo, Message, ToolCallInfo
from oturn.history import ApiMessages, to_api_messages
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


def test_a_context_keeps_messages_and_leaves_out_what_says_nothing(tmp_path: Path) -> None:
    context = Context(tmp_path / "demo.md")
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


def test_records_that_a_file_held_without_their_type_are_sent_and_others_left_out() -> None:
    sent = to_api_messages(
        [
            user("old"),
            {"type": "compact", "value": "sum"},
            {"role": "user", "content": "hi"},
            {"role": "nobody", "content": "hi"},
            {"something": "else"},
            3,
        ]
    )
    assert [message["content"] for message in sent] == ["sum", "hi"]


class Counted(BaseModel):
    """A content that counts how often it was rendered."""

    times: list[int] = []

    def to_message_text(self) -> str:
        self.times.append(1)
        return "text"


def test_each_record_is_converted_once_however_often_the_history_is_sent() -> None:
    following = ApiMessages()
    contents = [Counted() for _ in range(5)]
    history: list[Any] = [user("old"), CompactRecord(value="sum")]
    for content in contents:
        history.append(Message(role="user", content=content))
        for _ in range(3):
            assert len(following.of(list(history))) == len(history) - 1
    assert [len(content.times) for content in contents] == [1] * 5


def test_what_is_set_anew_in_a_record_that_was_sent_is_sent_anew() -> None:
    following = ApiMessages()
    record = user("secret")
    kept = Message.model_validate(
        {"role": "user", "content": {"user_name": "U", "date": 0, "content": "secret"}}
    )
    following.of([record, kept])
    record.content = "hidden"
    kept.content.content = "hidden"  # type: ignore[union-attr] # it is a UserContent
    sent = following.of([record, kept])
    assert [("secret" in m["content"], "hidden" in m["content"]) for m in sent] == [
        (False, True),
        (False, True),
    ]


def test_what_was_given_out_does_not_change_when_the_history_goes_on() -> None:
    following = ApiMessages()
    history: list[Any] = [calling("x")]
    first = following.of(history)
    history.append(result("x"))
    second = following.of(history)
    assert [message.get("name") for message in first] == [None, "missing"]
    assert [message.get("name") for message in second] == [None, "f"]


RECORDS = st.one_of(
    st.builds(user, st.sampled_from(["a", "b"])),
    st.builds(lambda ids: calling(*ids), st.lists(st.sampled_from("xyz"), unique=True, max_size=3)),
    st.builds(result, st.sampled_from("xyz")),
    st.builds(lambda: CompactRecord(value="sum")),
)
CHANGES = st.one_of(
    st.tuples(st.just("append"), RECORDS),
    st.tuples(st.just("replace"), st.integers(0, 20), RECORDS),
    st.tuples(st.just("remove"), st.integers(0, 20)),
    st.tuples(st.just("cut"), st.integers(0, 20)),
    st.tuples(st.just("restore")),
)


def changed(history: list[Any], change: tuple[Any, ...]) -> list[Any]:
    match change:
        case ("append", record):
            return [*history, record]
        case ("replace", place, record) if place < len(history):
            return [*history[:place], record, *history[place + 1 :]]
        case ("remove", place):
            return [*history[:place], *history[place + 1 :]]
        case ("cut", place):
            return history[:place]
        case ("restore",):
            return [record.model_copy(deep=True) for record in history]
    return history


@given(st.lists(CHANGES, max_size=30))
def test_following_a_history_gives_what_converting_it_whole_gives(
    changes: list[tuple[Any, ...]],
) -> None:
    following = ApiMessages()
    history: list[Any] = []
    for change in changes:
        history = changed(history, change)
        assert following.of(history) == to_api_messages(history)
