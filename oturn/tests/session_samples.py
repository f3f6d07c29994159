"""Records for the tests of sessions: the worked example, and hostile ones for properties."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from oturn import FunctionInfo, Message, ToolCallInfo, ToolMessageContent, UserContent
from oturn.model import CompactRecord

DATA = Path(__file__).parent / "data" / "sessions"
PREFIX = "md_as_config:ctx:"

#: What the file `worked_example.md` holds.
WORKED_EXAMPLE: list[Any] = [
    Message(
        role="user",
        content=UserContent(
            user_name="Ann",
            email="ann@x",
            date=datetime.fromtimestamp(1772600767, UTC),
            content="line1\nline2",
        ),
    ),
    Message(
        role="assistant",
        content="Checking.",
        reasoning_content="I should\ncall it",
        tool_calls=[
            ToolCallInfo("c1", "function", FunctionInfo("get_weather", {"location": "Tokyo"}))
        ],
        usage={"total_tokens": 5},
        model_name="m",
        extra={"reasoning_details": [{"text": "z"}]},
    ),
    Message(
        role="tool",
        name="get_weather",
        tool_call_id="c1",
        content=ToolMessageContent(status="success", data={"t": "18"}, metadata={"m": 1}),
    ),
    Message(
        role="tool",
        name="get_weather",
        tool_call_id="c2",
        content=ToolMessageContent(status="failure", error="bad\nnews"),
    ),
    Message(role="assistant", content="It is 18."),
    CompactRecord(value="They asked about weather.", user_intent="know weather"),
    Message(role="user", content="plain str user"),
    Message(role="system", content="sys text"),
]

_MARKERS = [
    f"{opening}{PREFIX}{name}{closing}"
    for opening in ("<!-- ", "<!--", "<!--  ", "<!--\t", "<!--\n", "<!-- \u00a0")
    for name in ("begin skeleton={}", "end", "value-end", "value-begin json-path=$.role",
                 "multi-line-value-end", "code-block-end", "multi-line-value-begin json-path=$.x",
                 "ESCAPED_7f596d6fend", "ESCAPED_7f596d6fESCAPED_7f596d6fend", "")
    for closing in (" -->", "-->", "")
]  # fmt: skip
_PIECES = [
    "<!--", "-->", "<", "!--", " ", "  ", "\n", "\n\n", "\r\n", "\r", "\t", "\0", "\x85", "\u2028",
    "\u2029", "\x0b", "\x0c", "\x1c", "\ufeff", "\ud800", "\udfff", "```", "````", "```json\n",
    "~~~", PREFIX, "ESCAPED_7f596d6f", "{.role}", "{.content:block}", "null", "true", "12", "1.5",
    "{}", '"', "\\", "\\u003e", "é", "日本", "😀", "# ", "**", "md_as", "<!-- md_as_con",
]  # fmt: skip

#: Text of everything that means something to the notation, and of anything else. A high half of
#: a surrogate pair is never followed by a low one: in JSON the two are the character.
hostile_text = (
    st.lists(st.one_of(st.sampled_from(_MARKERS), st.sampled_from(_PIECES), st.text()), max_size=8)
    .map("".join)
    .map(lambda text: re.sub("([\ud800-\udbff])(?=[\udc00-\udfff])", r"\1|", text))
)
maybe_text = st.none() | hostile_text
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | hostile_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_text, inner, max_size=3),
    max_leaves=6,
)
maybe_object = st.none() | st.dictionaries(hostile_text, json_values, max_size=3)

users: st.SearchStrategy[UserContent] = st.builds(
    UserContent,
    user_name=hostile_text,
    date=st.integers(31536000 * 10**6, 4102444800 * 10**6).map(
        lambda microseconds: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
    ),
    content=hostile_text,
    email=maybe_text,
    channel_headers=st.none() | st.dictionaries(hostile_text, hostile_text, max_size=2),
    platform_event_id=maybe_text,
)
with_notices = st.builds(
    lambda user, notices: user.model_copy(update={"tool_contents": notices}),
    users,
    st.none() | st.lists(users, max_size=2),
)
outcomes = st.builds(
    ToolMessageContent,
    status=maybe_text,
    data=json_values,
    error=maybe_text,
    metadata=maybe_object,
    info=maybe_object,
)
tool_calls = st.lists(
    st.builds(
        ToolCallInfo,
        hostile_text,
        hostile_text,
        st.builds(FunctionInfo, hostile_text, json_values),
    ),
    max_size=2,
)
messages: st.SearchStrategy[Message] = st.builds(
    Message,
    role=st.sampled_from(["user", "assistant", "system", "tool"]),
    content=hostile_text | with_notices | outcomes,
    name=maybe_text,
    tool_call_id=maybe_text,
    tool_calls=st.none() | tool_calls,
    usage=maybe_object,
    reasoning_content=maybe_text,
    model_name=maybe_text,
    extra=maybe_object,
)
compactions = st.builds(CompactRecord, value=hostile_text, user_intent=hostile_text)
records: st.SearchStrategy[Any] = messages | compactions
