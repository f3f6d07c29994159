"""Tool calls that models write as text: found in every published form, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelserver import ModelServer
from modelserver import text as text_reply
from oturn.agent_stream_state import MessageAssembler
from oturn.errors import ModelError
from oturn.signals import AssistantMessage
from oturn.text_call_marks import MARK_LIMIT
from oturn.text_calls import TextCalls
from oturn.transport.base import (
    Failed,
    Finished,
    ModelRequest,
    ReasoningDelta,
    StreamItem,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from oturn.transport.openai import OpenAITransport

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "exact": {"type": ["boolean", "null"]},
    },
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}},
    {"type": "function", "function": {"name": "f"}},
]
REQUEST = ModelRequest("m", [], TOOLS)


def pieces(text: str, sizes: Sequence[int]) -> list[str]:
    """The text cut into these sizes, over and over."""
    cut, place, turn = [], 0, 0
    while place < len(text):
        size = sizes[turn % len(sizes)]
        cut.append(text[place : place + size])
        place, turn = place + size, turn + 1
    return cut


def filtered(items: Sequence[StreamItem], request: ModelRequest = REQUEST) -> list[StreamItem]:
    calls = TextCalls(request)
    out = [made for item in items for made in calls.feed(item)]
    return [*out, *calls.close()]


def answer(
    text: str, *, finish: str = "stop", sizes: Sequence[int] = (3,), request: ModelRequest = REQUEST
) -> AssistantMessage:
    items: list[StreamItem] = [TextDelta(piece) for piece in pieces(text, sizes)]
    assembler = MessageAssembler()
    for item in filtered([*items, Finished(finish)], request):
        assembler.feed(item)
    return assembler.message()


def called(message: AssistantMessage) -> list[tuple[str, Any]]:
    return [(call.name, call.parsed) for call in message.tool_calls]


TOKYO = ("get_weather", {"city": "Tokyo"})

FORMS = {
    "hermes": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Tokyo"}}\n</tool_call>',
    "hermes, arguments first": (
        '<tool_call>\n{"arguments": {"city": "Tokyo"}, "name": "get_weather"}\n</tool_call>'
    ),
    "hermes, end tag missing": (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Tokyo"}}'
    ),
    "hermes, bracket too many": (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "Tokyo"}}}</tool_call>'
    ),
    "hermes, brackets missing": (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "Tokyo"</tool_call>'
    ),
    "hermes, as Python writes it": (
        "<tool_call>{'name': 'get_weather', 'arguments': {'city': 'Tokyo'}}</tool_call>"
    ),
    "granite": '<tool_call>[{"name": "get_weather", "arguments": {"city": "Tokyo"}}]</tool_call>',
    "llama 3.1": '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Tokyo"}}<|eom_id|>',
    "llama 3.1, bare": '{"name": "get_weather", "parameters": {"city": "Tokyo"}}',
    "llama 3.1, typed": (
        '{"type": "function", "name": "get_weather", "parameters": {"city": "Tokyo"}}'
    ),
    "llama 3.1, custom": '<function=get_weather>{"city": "Tokyo"}</function>',
    "llama 3.1, custom, open": '<function=get_weather>{"city": "Tokyo"}',
    "openai, as text": (
        '{"type": "function", "function": '
        '{"name": "get_weather", "arguments": "{\\"city\\": \\"Tokyo\\"}"}}'
    ),
    "list": '[{"name": "get_weather", "arguments": {"city": "Tokyo"}}]',
    "pythonic": '[get_weather(city="Tokyo")]',
    "mistral 7B": '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Tokyo"}}]',
    "mistral, with id": (
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Tokyo"}, "id": "Abc123xyz"}]'
    ),
    "mistral 2411": '[TOOL_CALLS]get_weather{"city": "Tokyo"}',
    "mistral small 3.2": '[TOOL_CALLS]get_weather[CALL_ID]Abc123xyz[ARGS]{"city": "Tokyo"}',
    "magistral": '[TOOL_CALLS]get_weather[ARGS]{"city": "Tokyo"}',
    "fenced": '```json\n{"name": "get_weather", "arguments": {"city": "Tokyo"}}\n```',
    "fenced as a call": (
        '```tool_call\n{"name": "get_weather", "arguments": {"city": "Tokyo"}}\n```\n'
    ),
    "fenced, open": '```json\n{"name": "get_weather", "arguments": {"city": "Tokyo"}}',
    "qwen coder": (
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nTokyo\n</parameter>\n"
        "</function>\n</tool_call>"
    ),
    "qwen coder, bare": (
        "<function=get_weather>\n<parameter=city>\nTokyo\n</parameter>\n</function>"
    ),
    "qwen coder, ends missing": "<function=get_weather>\n<parameter=city>\nTokyo\n</parameter>",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_every_published_form_is_found_however_it_is_cut(form: str, size: int) -> None:
    message = answer(FORMS[form], sizes=[size])
    assert called(message) == [TOKYO]
    assert message.text.strip() == ""


WITH_A_MARK = [
    form for form in FORMS if FORMS[form].startswith(("<", "`", "[TOOL")) and "fenced" not in form
]


@pytest.mark.parametrize("form", WITH_A_MARK)
def test_words_before_a_call_stay_and_come_at_once(form: str) -> None:
    calls = TextCalls(REQUEST)
    assert calls.feed(TextDelta("Let me look.\n")) == [TextDelta("Let me look.\n")]
    message = answer("Let me look.\n" + FORMS[form])
    assert message.text == "Let me look.\n"
    assert called(message) == [TOKYO]


@pytest.mark.parametrize("form", ["hermes", "llama 3.1, custom", "fenced", "qwen coder"])
def test_words_behind_a_call_stay(form: str) -> None:
    message = answer(f"First.\n{FORMS[form]}\nThen I will tell you.")
    assert message.text == "First.\n\nThen I will tell you."
    assert called(message) == [TOKYO]


@pytest.mark.parametrize(
    "text",
    [
        (
            '<tool_call>{"name": "f", "arguments": {}}</tool_call>\n'
            '<tool_call>{"name": "get_weather", "arguments": {"city": "Tokyo"}}</tool_call>'
        ),
        (
            '<tool_call>{"name": "f", "arguments": {}}\n'
            '{"name": "get_weather", "arguments": {"city": "Tokyo"}}</tool_call>'
        ),
        (
            '<|python_tag|>{"name": "f", "parameters": {}}; '
            '{"name": "get_weather", "parameters": {"city": "Tokyo"}}'
        ),
        '[TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]get_weather[ARGS]{"city": "Tokyo"}',
        '[TOOL_CALLS]f{}get_weather{"city": "Tokyo"}',
        '[f(), get_weather(city="Tokyo")]',
        '[{"name": "f", "parameters": {}}, {"name": "get_weather", "parameters": {"city": "Tokyo"}}]',
        '<function=f></function>\n<function=get_weather>{"city": "Tokyo"}</function>',
        (
            "<tool_call><function=f>\n</function><function=get_weather>\n"
            "<parameter=city>\nTokyo\n</parameter>\n</function></tool_call>"
        ),
    ],
)
def test_several_calls_come_in_their_order_with_ids_of_their_own(text: str) -> None:
    message = answer(text)
    assert called(message) == [("f", {}), TOKYO]
    assert [call.id for call in message.tool_calls] == ["call_0", "call_1"]


def test_ids_are_those_of_no_other_call_in_the_history() -> None:
    history: list[dict[str, Any]] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [{"id": "call_0"}, {"id": "call_3"}, {"id": "x"}]},
    ]
    text = '<tool_call>{"name": "f", "arguments": {}}</tool_call>' * 2
    for _ in range(2):
        message = answer(text, request=ModelRequest("m", history, TOOLS))
        assert [call.id for call in message.tool_calls] == ["call_4", "call_5"]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
        '```xml\n<tool_call>{"name": "f", "arguments": {}}</tool_call>\n```',
        'Write `<tool_call>{"name": "f", "arguments": {}}</tool_call>` for it.',
        "The marks are <tool_call>, [TOOL_CALLS] and <|python_tag|>; <function=f> is one, too.",
        '```json\n{"name": "f", "version": 2}\n```',
        '```json\n{"city": "Tokyo"}\n```\nThat is it.',
        '```json\n[{"name": "f", "description": "a tool", "parameters": {"type": "object"}}]\n```',
        '```json\n{"name": "f", "arguments": {}}\nand more\n```',
        '{"name": "f"}',
        '{"name": "Ann", "arguments": ["old", "new"]}',
        '{"name": "f", "arguments": {}} is what I would write.',
        'It is {"name": "f", "arguments": {}}',
        "[f(x=1)] is a list",
        "[f(x=1), unknown()]",
        "[f, f]",
        "[1, 2]",
        "a[TOOL_CALLS]b",
        "<function=f>what is this",
        "if a < b and c[0] > `d`: pass",
        "",
        " \n",
    ],
)
@pytest.mark.parametrize("size", [1, 4, 1_000])
def test_what_calls_no_tool_of_the_request_is_text_to_the_last_character(
    text: str, size: int
) -> None:
    assert answer(text, sizes=[size]) == AssistantMessage(text=text, finish="stop")


fragments = st.lists(
    st.one_of(
        st.text(max_size=5),
        st.sampled_from(
            ["<tool_call>", "</tool_call>", "<function=f", "<function=g>", "[TOOL_CALLS]", "```"]
            + [
                "```json\n",
                "\n",
                "`",
                "<|python_tag|>",
                '{"name": "g", ',
                '"f"',
                '"arguments": {}}',
            ]
            + ["[f", "[g(", "<", "[", '{"name"', '{"type": "']
        ),
    ),
    max_size=12,
)
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@settings(max_examples=1_000, deadline=None)
@given(fragments, cuts)
@example(["```json\n", '{"name": "f"}\n', "```", "\n", "<tool_call>"], [1])
def test_text_without_a_call_comes_out_as_it_went_in(parts: list[str], sizes: list[int]) -> None:
    text = "".join(parts)
    items: list[StreamItem] = [TextDelta(piece) for piece in pieces(text, sizes)]
    out = filtered([*items, Finished("stop")])
    if not any(isinstance(item, ToolCallDelta) for item in out):
        assert "".join(item.text for item in out if isinstance(item, TextDelta)) == text
    assert out[-1] == Finished("stop")


values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-99, 99), st.text("ab</>{}[]\"'\\\n`", max_size=9)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner)
    ),
    max_leaves=5,
)
objects = st.dictionaries(st.sampled_from(["x", "y", "</tool_call>"]), values, max_size=3)


@settings(max_examples=500, deadline=None)
@given(objects, st.sampled_from(["hermes", "bare", "mistral", "fenced", "custom", "python"]), cuts)
def test_any_arguments_arrive_as_they_were_written_however_they_are_cut(
    value: dict[str, Any], form: str, sizes: list[int]
) -> None:
    made = json.dumps({"name": "f", "arguments": value})
    text = {
        "hermes": f"<tool_call>\n{made}\n</tool_call>",
        "bare": made,
        "mistral": f"[TOOL_CALLS] [{made}]",
        "fenced": f"```json\n{made}\n```",
        "custom": f"<function=f>{json.dumps(value)}</function>",
        "python": f"[f(x={value.get('x')!r})]",
    }[form]
    expected = {"x": value.get("x")} if form == "python" else value
    assert called(answer(text, sizes=sizes)) == [("f", expected)]


@settings(max_examples=500, deadline=None)
@given(fragments, cuts, st.sampled_from(["stop", "length"]))
def test_how_an_answer_is_cut_into_pieces_changes_nothing(
    parts: list[str], sizes: list[int], finish: str
) -> None:
    text = "".join([*parts, *FORMS.values()][: len(parts) + len(parts) % 7])
    assert answer(text, sizes=sizes, finish=finish) == answer(text, sizes=[9_999], finish=finish)


def test_a_long_answer_without_a_mark_is_handed_on_piece_by_piece() -> None:
    calls = TextCalls(REQUEST)
    for piece in pieces("Some words, (a < b) and a[1] or so. " * 50, [4]):
        held = piece.rstrip().endswith(("<", "["))
        assert calls.feed(TextDelta(piece)) or held


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "gx',
        "<tool_call>so",
        "<tool_calls",
        "<function=gx",
        "[TOOLS",
        "[TOOL_CALLS] x",
        "```python",
        '```json\n{"a',
        '{"answer',
        '{"name": "Ann',
        "[1",
        "[get_x",
    ],
)
def test_text_is_let_go_as_soon_as_it_cannot_become_a_call(text: str) -> None:
    calls = TextCalls(REQUEST)
    out = [item for char in text for item in calls.feed(TextDelta(char))]
    assert "".join(item.text for item in out if isinstance(item, TextDelta)) == text


def test_a_beginning_that_never_names_a_tool_is_let_go() -> None:
    calls = TextCalls(REQUEST)
    assert calls.feed(TextDelta("<tool_call>")) == []
    out = [item for _ in range(MARK_LIMIT) for item in calls.feed(TextDelta(" "))]
    assert out[0] == TextDelta("<tool_call>" + " " * (MARK_LIMIT - len("<tool_call>")))


def test_values_without_quotes_are_what_the_schema_says_they_are() -> None:
    text = (
        "<function=get_weather>\n<parameter=city>\n12\n</parameter>\n<parameter=days>\n3\n"
        "</parameter>\n<parameter=exact>\nTrue\n</parameter>\n<parameter=other>\na\n\nb\n"
        "</parameter>\n</function>"
    )
    expected = {"city": "12", "days": 3, "exact": True, "other": "a\n\nb"}
    assert called(answer(text)) == [("get_weather", expected)]


def test_words_of_json_are_understood_in_a_python_call() -> None:
    assert called(answer("[f(a=true, b=[null, {'c': False}])]")) == [
        ("f", {"a": True, "b": [None, {"c": False}]})
    ]


@pytest.mark.parametrize("text", ['[f("Tokyo")]', "[f(x=open('y'))]", "[f(**{'x': 1})]"])
def test_a_python_call_that_is_not_plain_data_is_told_to_the_model_and_never_run(
    text: str,
) -> None:
    (call,) = answer(text).tool_calls
    assert call.name == "f"
    assert call.parsed is None
    assert "not valid JSON" in call.problem


def test_a_call_within_the_arguments_of_a_call_is_an_argument() -> None:
    inner = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    outer = json.dumps({"name": "get_weather", "arguments": {"city": inner}})
    message = answer(f"<tool_call>{outer}</tool_call>")
    assert called(message) == [("get_weather", {"city": inner})]


def test_a_broken_call_of_a_known_tool_is_a_call_whose_problem_the_model_is_told() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": b}}</tool_call> and so on'
    message = answer(text)
    (call,) = message.tool_calls
    assert (call.name, call.parsed, message.text) == ("f", None, " and so on")
    assert "not valid JSON" in call.problem


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "f", "arguments": {"a": "lo',
        '<tool_call>{"name": "f", "arguments": {"a": "lo"',
        '{"name": "f", "parameters": {"a": [1, 2',
        '[TOOL_CALLS]f[ARGS]{"a": "lo',
        '```json\n{"name": "f", "arguments": {"a": 1',
        "<function=f>\n<parameter=a>\nlo",
        "<function=f>\n<parameter=a>\nlo\n</parameter>",
    ],
)
def test_a_call_that_the_limit_cut_off_is_told_as_such(text: str) -> None:
    (call,) = answer(text, finish="length").tool_calls
    assert call.parsed is None
    assert "cut off by the output limit" in call.problem


def test_beside_calls_of_the_servers_own_text_stays_text() -> None:
    text = TextDelta('<tool_call>{"name": "f", "arguments": {}}</tool_call>')
    native = ToolCallDelta(0, "x", "f", "{}")
    assert filtered([text, native, Finished("stop")]) == [text, native, Finished("stop")]
    assert filtered([native, text, Finished("stop")]) == [native, text, Finished("stop")]


def test_reasoning_and_usage_pass_while_a_call_is_held() -> None:
    calls = TextCalls(REQUEST)
    assert calls.feed(TextDelta('<tool_call>{"name": "f"')) == []
    for item in (ReasoningDelta("so"), UsageReport({"total_tokens": 1})):
        assert calls.feed(item) == [item]


def test_an_answer_that_broke_off_calls_nothing() -> None:
    text = TextDelta('<tool_call>{"name": "f", "arguments": {}}</tool_call>')
    failed = Failed(ModelError("broken", "cut"))
    assert filtered([text, failed]) == [text, failed]
    assert filtered([text]) == [text]


@pytest.mark.parametrize(
    "request_",
    [ModelRequest("m", []), ModelRequest("m", [], TOOLS, {"tool_choice": "none"})],
)
def test_nothing_is_looked_for_where_nothing_may_be_called(request_: ModelRequest) -> None:
    text = FORMS["hermes"]
    assert answer(text, request=request_) == AssistantMessage(text=text, finish="stop")


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(list(FORMS.values())),
    st.lists(
        st.tuples(st.integers(0, 200), st.text("{}[]<>\"'`\\ \n,:()=a", max_size=4)), max_size=4
    ),
    st.sampled_from(["stop", "length"]),
)
def test_no_damaged_call_raises(text: str, edits: list[tuple[int, str]], finish: str) -> None:
    for place, new in edits:
        text = text[: place % len(text)] + new + text[place % len(text) + 1 :] if text else new
    message = answer(text, finish=finish)
    assert all((call.parsed is None) == bool(call.problem) for call in message.tool_calls)


@pytest.mark.parametrize(
    "text", ["[" * 5_000, "[f(x=" + "(" * 5_000, "[f(x=" + "-" * 5_000 + "1)]"]
)
def test_what_is_nested_too_deep_is_text_or_told(text: str) -> None:
    message = answer(text, sizes=[500])
    assert message.text == text or message.tool_calls[0].problem


@pytest.mark.parametrize("depth", range(100, 2_000, 100))
def test_lists_nested_deeper_than_python_likes_raise_nothing(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    text = f'[TOOL_CALLS] [{{"name": "f", "arguments": {{}}}}, {nested}]'
    message = answer(text, sizes=[500])
    assert message.text == text or message.tool_calls[0].problem


@pytest.mark.parametrize("on", [True, False])
async def test_the_openai_transport_finds_them_unless_that_is_switched_off(on: bool) -> None:
    words = "I look. " + FORMS["hermes"]
    assembler = MessageAssembler()
    with ModelServer(lambda _: text_reply(words, chunk=3)) as server:
        transport = OpenAITransport(server.base_url, text_tool_calls=on)
        async for item in transport.stream(REQUEST):
            assembler.feed(item)
        await transport.aclose()
    message = assembler.message()
    assert (message.text, called(message)) == (("I look. ", [TOKYO]) if on else (words, []))
