"""The practice model: what it understands, and that it does it with the real tools."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver.plans import echo
from oturn.transport.base import Finished, ModelRequest, StreamItem, TextDelta, ToolCallDelta
from support.nodes import local_host
from turnstone.core import events as ev
from turnstone.core.host import Answer, CreateWorkstream, Host, SendMessage
from turnstone.core.practice import HELP, LABEL, LINES_SHOWN, PracticeTransport, parse, reply

ALL = frozenset({"bash", "read_file", "search", "write_file"})


def asked(text: str) -> list[tuple[str, dict[str, Any]]]:
    return [(action.tool, dict(action.arguments)) for action in parse(text)]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("list the files here", "ls -la"),
        ("List the files here.", "ls -la"),
        ("LIST FILES!", "ls -la"),
        ("please list the files", "ls -la"),
        ("ls", "ls -la"),
        ("list the files in docs", "ls -la docs"),
        ("list the files in 'my docs'.", "ls -la 'my docs'"),
        ("show me the files in the folder src/", "ls -la src/"),
        ("list the files in this folder", "ls -la"),
        ("list the files in -rf", "ls -la ./-rf"),
        ("list the files in $(reboot)", "ls -la '$(reboot)'"),
        ("run make test", "make test"),
        ("run make test.", "make test"),
        ("Run `ls .`", "ls ."),
        ("execute the command ls .", "ls ."),
        ("run echo 'a b' | tr a-z A-Z", "echo 'a b' | tr a-z A-Z"),
    ],
)
def test_requests_that_are_commands(text: str, command: str) -> None:
    assert asked(text) == [("bash", {"command": command})]


@pytest.mark.parametrize(
    ("text", "tool", "arguments"),
    [
        ("read notes.txt", "read_file", {"path": "notes.txt"}),
        ("Please read the file Notes.TXT!", "read_file", {"path": "Notes.TXT"}),
        ("show me notes.txt.", "read_file", {"path": "notes.txt"}),
        ('read "my notes.txt"', "read_file", {"path": "my notes.txt"}),
        ("search for TODO", "search", {"query": "TODO"}),
        ("search for TODO in src.", "search", {"query": "TODO", "path": "src"}),
        ("find 'no such' in the logs?", "search", {"query": "no such", "path": "logs"}),
        ('find "fall in love" in a', "search", {"query": "fall in love", "path": "a"}),
        ("write hello world to a.txt", "write_file", {"path": "a.txt", "content": "hello world\n"}),
        ('write "to be" to b.txt.', "write_file", {"path": "b.txt", "content": "to be\n"}),
    ],
)
def test_requests_for_the_other_tools(text: str, tool: str, arguments: dict[str, str]) -> None:
    assert asked(text) == [(tool, arguments)]


@pytest.mark.parametrize(
    "text", ["", "hello", "help", "what is the meaning of life?", "read", "run", "then", "x" * 9999]
)
def test_everything_else_is_answered_with_what_is_understood(text: str) -> None:
    said = reply([{"role": "user", "content": text}], ALL)
    assert said.text == HELP and said.call is None


def test_requests_joined_by_then_are_steps() -> None:
    assert asked("read a.txt then search for foo in b, and then run ls. Then list the files") == [
        ("read_file", {"path": "a.txt"}),
        ("search", {"query": "foo", "path": "b"}),
        ("bash", {"command": "ls"}),
        ("bash", {"command": "ls -la"}),
    ]


def test_then_inside_a_request_does_not_split_it() -> None:
    [(_, arguments)] = asked("write now and then to a.txt")
    assert arguments == {"path": "a.txt", "content": "now and then\n"}


def test_half_understood_is_not_understood() -> None:
    assert parse("read a.txt then run") == []


_PLAIN = st.sampled_from(
    "list the files here in run read search for write to then and . , ' \" ` - please".split(" ")
)


@given(st.text() | st.lists(_PLAIN | st.text(max_size=3)).map(" ".join))
def test_no_text_is_too_strange_to_be_parsed(text: str) -> None:
    for action in parse(text):
        assert action.tool in ALL
        assert all(isinstance(value, str) and value for value in action.arguments.values())


@given(
    st.sampled_from(["write", "search", "run", "list", "x"]), st.sampled_from([" ", "\n", "to "])
)
def test_long_runs_of_blanks_and_words_cost_no_time(verb: str, filler: str) -> None:
    parse(f"{verb}{filler * 600}x{filler * 60}y")


@given(st.text(min_size=1).filter(lambda t: t.strip() and "\x00" not in t))
def test_a_folder_is_one_word_of_the_command_whatever_its_name(name: str) -> None:
    for tool, arguments in asked(f'list the files in "{name}"'):
        words = shlex.split(arguments["command"])
        assert tool == "bash" and words[:2] == ["ls", "-la"] and len(words) <= 3


_ROLES = st.sampled_from(["system", "user", "assistant", "tool", "odd"])
_CONTENT = st.none() | st.text(max_size=30) | st.sampled_from(["run ls", "read a then run b"])
_MESSAGES = st.lists(st.fixed_dictionaries({"role": _ROLES, "content": _CONTENT}), max_size=12)


@given(_MESSAGES)
def test_no_conversation_is_too_strange_to_be_answered(messages: list[dict[str, Any]]) -> None:
    assert reply(messages, ALL).text
    call = reply(messages, frozenset()).call
    assert call is None, "only tools that are offered are called"


def conversation(request: str, *results: str, remark: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"role": "user", "content": request}]
    for number, result in enumerate(results):
        call = {"id": f"c{number}", "function": {"name": "x", "arguments": "{}"}}
        found.append({"role": "assistant", "content": "", "tool_calls": [call]})
        found.append({"role": "tool", "tool_call_id": f"c{number}", "content": result})
    return [*found, {"role": "user", "content": remark}] if remark else found


def test_an_answer_tells_how_much_came_back_and_how_it_begins() -> None:
    result = "\n".join(f"row {n}" for n in range(100))
    said = reply(conversation("run seq", result), ALL)
    assert said.call is None
    assert "It returned 100 lines" in said.text
    assert "row 0" in said.text and f"row {LINES_SHOWN}" not in said.text
    assert f"and {100 - LINES_SHOWN} more" in said.text


@pytest.mark.parametrize(
    "result", ["Not run: ann refused it.", "Outcome unknown: this call was interrupted."]
)
def test_after_a_refusal_or_an_unknown_outcome_it_stops_and_says_so(result: str) -> None:
    said = reply(conversation("run one then run two", result), ALL)
    assert said.call is None
    assert result in said.text and "did not do the rest" in said.text


def test_what_a_person_says_with_a_yes_is_no_new_request() -> None:
    said = reply(conversation("run one then run two", "1", remark="be quick"), ALL)
    assert said.call is not None and said.call.arguments == {"command": "two"}


def test_a_request_after_a_stopped_turn_is_a_new_one() -> None:
    messages = conversation("run one then run two", "Not run: the turn was stopped first.")
    said = reply([*messages, {"role": "user", "content": "run three"}], ALL)
    assert said.call is not None and said.call.arguments == {"command": "three"}


def test_call_ids_do_not_come_again_in_a_conversation() -> None:
    messages = conversation("run one then run two then run three", "1", "2")
    ids = {reply(messages[:end], ALL).call_id for end in (1, 3, 5)}
    assert len(ids) == 3


async def stream(text: str, tools: frozenset[str] = ALL) -> list[StreamItem]:
    transport = PracticeTransport(delay=0)
    request = ModelRequest(
        "practice",
        [{"role": "user", "content": text}],
        [{"type": "function", "function": {"name": name}} for name in tools],
    )
    items = [item async for item in transport.stream(request)]
    await transport.aclose()
    return items


@pytest.mark.parametrize("text", ["hello", "run ls", "read a then read b"])
async def test_every_answer_is_labelled_streams_word_by_word_and_ends_once(text: str) -> None:
    items = await stream(text)
    pieces = [item.text for item in items if isinstance(item, TextDelta)]
    assert "".join(pieces).startswith(LABEL) and len(pieces) > 3
    assert [type(item) for item in items].count(Finished) == 1
    assert isinstance(items[-1], Finished) and items[-1].model == "practice"


async def test_a_tool_that_is_not_offered_is_not_called() -> None:
    items = await stream("run ls", frozenset({"read_file"}))
    assert not [item for item in items if isinstance(item, ToolCallDelta)]
    words = "".join(item.text for item in items if isinstance(item, TextDelta))
    assert "tool bash, which is not offered here" in words


async def turn(host: Host, request: str, *, approve: bool = True) -> list[ev.Event]:
    """The events of one turn with the practice model; every question gets this answer."""
    info = await host.create(CreateWorkstream())
    accepted = await host.send(SendMessage(ws_id=info.id, message=request))
    seen: list[ev.Event] = []
    events = host.follow(info.id, ev.EventId(1))
    async with asyncio.timeout(20):
        async for event in events:
            seen.append(event)
            if isinstance(event, ev.ApprovalAsked):
                answer = Answer(ws_id=info.id, request_id=event.request_id, approved=approve)
                await host.approve(answer)
            if isinstance(event, ev.TurnEnded):
                assert event.correlation_id == accepted.correlation_id
                break
    return seen


async def test_a_newcomer_sees_tools_and_approvals_work(tmp_path: Path) -> None:
    model = PracticeTransport(delay=0)
    async with local_host(tmp_path, echo, model=model, model_name="practice") as host:
        seen = await turn(
            host,
            "write hello there to a.txt then search for hello then read a.txt then run wc a.txt",
        )
        used = [(e.name, e.status) for e in seen if isinstance(e, ev.ToolFinished)]
        assert used == [(name, "ok") for name in ("write_file", "search", "read_file", "bash")]
        questions = [event for event in seen if isinstance(event, ev.ApprovalAsked)]
        assert [q.items[0].name for q in questions] == ["write_file", "bash"]
        ending = seen[-1]
        assert isinstance(ending, ev.TurnEnded) and ending.outcome == "done"
        assert ending.text.startswith(LABEL) and "hello there" in ending.text
        assert (tmp_path / "workspace" / "a.txt").read_text() == "hello there\n"


async def test_a_no_is_taken_for_a_no(tmp_path: Path) -> None:
    model = PracticeTransport(delay=0)
    async with local_host(tmp_path, echo, model=model, model_name="practice") as host:
        seen = await turn(host, "run touch here then run touch there", approve=False)
        ending = seen[-1]
        assert isinstance(ending, ev.TurnEnded) and "could not" in ending.text
        assert list((tmp_path / "workspace").iterdir()) == []


async def test_what_may_have_run_is_not_said_to_have_been_impossible() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "run touch here"},
        {"role": "assistant", "tool_calls": [{"id": "k"}]},
        {"role": "tool", "tool_call_id": "k", "content": "Outcome unknown: it may have run."},
    ]
    answer = reply(messages, ALL)
    assert "could not" not in str(answer)
    assert "began to run `touch here`. Outcome unknown" in str(answer)
