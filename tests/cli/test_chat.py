"""The chat, as a person at a terminal has it: a real node, a scripted model over real HTTP."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, error, hold, text
from modelserver.plans import echo, last_user_text, shell, tool_results
from oturn.transport.base import Finished, TextDelta
from support.nodes import local_host, local_node
from support.person import ASKED, CTRL_C, CTRL_D, PROMPT, at_terminal
from support.servers import FULL, serving
from turnstone.api.http_host import HttpHost
from turnstone.core.commands import COMMANDS
from turnstone.core.host import Answer, CreateWorkstream
from turnstone.core.local_host import LocalHost
from turnstone.core.policy_rules import Rule, Rules
from turnstone.core.practice import PracticeTransport


def writes(body: dict[str, Any]) -> Reply:
    if tool_results(body):
        return text("Written." if "refused" not in tool_results(body)[-1][1] else "As you wish.")
    return calls(call("write_file", path="notes.txt", content="one\ntwo\n"))


async def test_the_first_screen_says_what_answers_where_and_how_confined(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_terminal(host, workspace="/somewhere", banner="at the usual place") as person:
            shown = await person.sees(PROMPT)
            first = shown.splitlines()[0]
            assert "turnstone" in first and "model scripted-model" in first
            assert "workspace /somewhere" in first and "sandbox L" in first
            assert "at the usual place" in shown
            assert "practice" not in shown


async def test_an_answer_is_printed_once_and_whole(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_terminal(host) as person:
            await person.says("one two three four five six")
            await person.sees(PROMPT)
            assert person.screen.count("one two three four five six") == 1


async def test_bytes_that_are_no_text_are_replaced_before_they_are_sent(tmp_path: Path) -> None:
    async with local_node(tmp_path, shell) as node, at_terminal(node.host) as person:
        await person.sees(PROMPT)
        person._keys.send_bytes(b"caf\xff now\r")
        assert "caf\ufffd now" in await person.sees(PROMPT)
        person.types("run: true\r")
        await person.sees(ASKED)
        person._keys.send_bytes(b"no, not \xff\r")
        await person.sees(PROMPT)
        assert last_user_text(node.model.requests[0]) == "caf\ufffd now"
        assert "not \ufffd" in tool_results(node.model.requests[-1])[-1][1]


async def test_a_yes_runs_exactly_what_was_shown(tmp_path: Path) -> None:
    async with local_host(tmp_path, shell) as host:
        async with at_terminal(host) as person:
            await person.says("run: echo a-b-c | tr a-c x-z")
            question = await person.sees(ASKED)
            assert "◆ bash: echo a-b-c | tr a-c x-z" in question
            assert "  │ echo a-b-c | tr a-c x-z" in question
            assert "asked because: bash is asked by default" in question
            person.types("y\r")
            shown = await person.sees(PROMPT)
            assert "▸ bash: echo" in shown and "✓ done" in shown and "    x-y-z\n" in shown


async def test_a_no_runs_nothing_and_is_spelled_out(tmp_path: Path) -> None:
    async with local_host(tmp_path, writes) as host:
        async with at_terminal(host) as person:
            await person.says("write the notes")
            await person.answers("n")
            shown = await person.sees(PROMPT)
            assert "⊘ denied: not run" in shown and "As you wish." in shown
            assert not (tmp_path / "workspace" / "notes.txt").exists()


async def test_the_preview_of_a_file_is_shown_before_it_is_written(tmp_path: Path) -> None:
    async with local_host(tmp_path, writes) as host:
        async with at_terminal(host) as person:
            await person.says("write the notes")
            question = await person.sees(ASKED)
            assert "write_file: notes.txt" in question and "one" in question and "two" in question
            person.types("y\r")
            await person.sees("✓ done")
            assert (tmp_path / "workspace" / "notes.txt").read_text() == "one\ntwo\n"


async def test_other_words_are_a_no_that_the_model_hears(tmp_path: Path) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        return text(f"heard: {tool_results(body)[-1][1]}") if tool_results(body) else shell(body)

    async with local_host(tmp_path, plan) as host:
        async with at_terminal(host) as person:
            await person.says("run: touch here")
            await person.answers("a better way is mktemp")
            shown = await person.sees(PROMPT)
            assert "heard: Not run" in shown and "a better way is mktemp" in shown
            assert not (tmp_path / "workspace" / "here").exists()


async def test_always_is_asked_once_for_this_command(tmp_path: Path) -> None:
    async with local_host(tmp_path, shell) as host:
        async with at_terminal(host) as person:
            await person.says("run: echo first")
            shown = await person.sees(ASKED)
            offer = shown.partition("a always ")[2].partition(" · ")[0]
            assert offer.startswith("bash for exactly 'echo first', confined at L")
            assert offer.endswith(", in this workstream")
            person.types("a\r")
            await person.says("run: echo first")
            shown = await person.sees(PROMPT)
            assert "first" in shown and ASKED not in shown


async def test_always_is_not_offered_where_it_would_permit_nothing(tmp_path: Path) -> None:
    found = Rules(ask=(Rule("bash", "bash"),))
    async with local_host(tmp_path, shell, rules=found) as host:
        async with at_terminal(host) as person:
            await person.says("run: echo first")
            shown = await person.sees(ASKED)
            assert "y yes" in shown and "always" not in shown
            person.types("n\r")
            await person.sees(PROMPT)


async def test_keys_struck_before_the_question_do_not_answer_it(tmp_path: Path) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        return shell(body) if tool_results(body) else hold(shell(body), gate)

    async with local_host(tmp_path, plan) as host:
        async with at_terminal(host) as person:
            await person.says("run: touch here")
            await until_running(host)
            person.types("y\r")
            gate.set()
            await person.sees(ASKED)
            person.types("n\r")
            assert "denied" in await person.sees(PROMPT)
            assert not (tmp_path / "workspace" / "here").exists()


async def test_an_answer_from_elsewhere_ends_the_question_here(tmp_path: Path) -> None:
    async with local_host(tmp_path, shell) as host:
        async with at_terminal(host) as person:
            await person.says("run: echo hello")
            await person.sees(ASKED)
            [info] = await host.list()
            await host.approve(Answer(ws_id=info.id, approved=True, by="ann"))
            shown = await person.sees(PROMPT)
            assert "allowed by ann" in shown and "✓ done" in shown


async def test_ctrl_c_stops_the_turn_and_keeps_the_program(tmp_path: Path) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        asked = last_user_text(body)
        return hold(text("never to be seen whole"), gate) if asked == "wait" else text("Yes.")

    async with local_host(tmp_path, plan) as host:
        async with at_terminal(host) as person:
            await person.says("wait")
            await until_running(host)
            signal.raise_signal(signal.SIGINT)
            shown = await person.sees(PROMPT)
            assert "Stopping" in shown and "The turn was stopped." in shown
            gate.set()
            person.types("still there?\r")
            assert "Yes." in await person.sees(PROMPT)


async def test_a_second_ctrl_c_leaves_a_turn_that_does_not_stop(tmp_path: Path) -> None:
    class Unstoppable:
        """A host that never answers when it is told to stop, as one out of reach."""

        def __init__(self, host: LocalHost) -> None:
            self._host = host

        def __getattr__(self, name: str) -> Any:
            return getattr(self._host, name)

        async def cancel(self, ws_id: str, correlation_id: str = "") -> bool:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

    gate = threading.Event()
    async with local_host(tmp_path, lambda body: hold(text("never"), gate)) as host:
        async with at_terminal(Unstoppable(host)) as person:
            await person.says("wait")
            await until_running(host)
            signal.raise_signal(signal.SIGINT)
            await person.sees("Ctrl-C once more leaves")
            signal.raise_signal(signal.SIGINT)
            await person.sees("Left before the turn had stopped.")
            assert await person.leaves() == 0
        gate.set()


async def test_over_http_it_is_the_same(tmp_path: Path) -> None:
    async with local_host(tmp_path, writes) as local, serving(local) as served:
        remote = HttpHost(served.url, FULL)
        async with at_terminal(remote) as person:
            await person.says("write the notes")
            await person.answers("y")
            shown = await person.sees(PROMPT)
            assert "✓ done" in shown and shown.count("Written.") == 1
            assert "write the notes" not in person.screen, "one's own words are not repeated"
            assert "allowed by" not in shown
            person.types("again\r")
            await person.sees(ASKED)
            person.types(CTRL_C)
            assert "The turn was stopped." in await person.sees(PROMPT)
        await remote.aclose()


async def test_ctrl_c_at_a_question_runs_nothing_and_stops_the_turn(tmp_path: Path) -> None:
    async with local_host(tmp_path, writes) as host:
        async with at_terminal(host) as person:
            await person.says("write the notes")
            await person.sees(ASKED)
            person.types(CTRL_C)
            shown = await person.sees(PROMPT)
            assert "⊘ cancelled" in shown and "The turn was stopped." in shown
            assert not (tmp_path / "workspace" / "notes.txt").exists()


async def test_ctrl_c_at_an_empty_prompt_says_how_to_leave_and_twice_leaves(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_terminal(host) as person:
            await person.sees(PROMPT)
            person.types(CTRL_C)
            assert "Ctrl-C once more to leave" in await person.sees(PROMPT)
            person.types(f"half a line{CTRL_C}")
            await person.sees(PROMPT)
            person.types(CTRL_C)
            await person.sees("once more")
            await person.sees(PROMPT)
            person.types(CTRL_C)
            assert await person.leaves() == 0


async def test_ctrl_d_leaves(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_terminal(host) as person:
            await person.sees(PROMPT)
            person.types(CTRL_D)
            assert await person.leaves() == 0


async def test_slash_commands_do_what_help_says(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_terminal(host, create=CreateWorkstream(name="mine")) as person:
            await person.says("/help")
            shown = await person.sees(PROMPT)
            assert all(command.name in shown for command in COMMANDS)
            person.types("/dance now\r")
            assert "There is no command /dance." in await person.sees(PROMPT)
            person.types("/cancel\r")
            assert "No turn is running." in await person.sees(PROMPT)
            person.types("/cluster\r")
            assert "No cluster is known here" in await person.sees(PROMPT)
            person.types("/new\r")
            assert "A new conversation" in await person.sees(PROMPT)
            assert [info.name for info in await host.list()] == ["mine"]
            person.types("/EXIT\r")
            assert await person.leaves() == 0


async def test_what_a_command_says_is_shown_once(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_terminal(host) as person:
            await person.says("/persona a pirate")
            assert "speaks as a pirate" in await person.sees(PROMPT)
            person.types("/dance\r")
            await person.sees(PROMPT)
            person.types("hello\r")
            await person.sees(PROMPT)
            assert person.screen.count("speaks as a pirate") == 1
            assert person.screen.count("no command /dance") == 1


async def test_the_workstreams_of_a_node_are_listed_left_and_closed(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_terminal(host, create=CreateWorkstream(name="one")) as person:
            await person.says("a first message")
            await person.sees(PROMPT)
            person.types("/ws new two\r")
            assert "Nothing was said yet." in await person.sees(PROMPT)
            person.types("/ws\r")
            shown = await person.sees(PROMPT)
            assert "1 one (" in shown and "* 2 two (" in shown
            person.types("/ws 1\r")
            assert "user: a first message" in await person.sees(PROMPT)
            person.types("/ws close\r")
            assert "two (" in await person.sees(PROMPT)
            assert [info.name for info in await host.list()] == ["two"]
            person.types("/ws 7\r")
            await person.sees(PROMPT)
            person.types("/ws close\r")
            await person.sees(PROMPT)
            assert [info.name for info in await host.list()] == ["one"]  # there is always one


async def test_a_fork_is_gone_on_with(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_terminal(host, create=CreateWorkstream(name="one")) as person:
            await person.says("a first message")
            await person.sees(PROMPT)
            [before] = await host.list()
            person.types("/fork\r")
            shown = await person.sees(PROMPT)
            assert "one (fork)" in shown and "user: a first message" in shown
            person.types("and more\r")
            await person.sees(PROMPT)
            source, fork = await host.list()
            assert source.tokens == before.tokens
            assert fork.tokens > 0


async def test_a_model_that_cannot_be_asked_is_a_sentence_and_the_chat_goes_on(
    tmp_path: Path,
) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        return error(401, "no such key") if last_user_text(body) == "hello" else text("Hi.")

    async with local_host(tmp_path, plan) as host:
        async with at_terminal(host) as person:
            await person.says("hello")
            shown = await person.sees(PROMPT)
            assert "The turn failed: " in shown and "Traceback" not in shown
            person.types("again\r")
            assert "Hi." in await person.sees(PROMPT)


async def test_a_workstream_closed_elsewhere_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_terminal(host) as person:
            await person.sees(PROMPT)
            [info] = await host.list()
            await host.close(info.id)
            person.types("hello?\r")
            await person.sees("/ws new begins another workstream.")
            assert f"error: There is no workstream {info.id}" in capsys.readouterr().err


async def test_what_a_model_streams_cannot_steer_the_terminal(tmp_path: Path) -> None:
    class Hostile:
        """Streams escapes cut in every place, as a transport."""

        async def stream(self, request: Any) -> Any:
            for piece in (
                "red \x1b",
                "[31mtext \x1b]0;title",
                "\x07 \x9b2J",
                " \u202eback",
                "\x08",
            ):
                yield TextDelta(piece)
            yield Finished("stop")

        async def aclose(self) -> None:
            pass

    async with local_host(tmp_path, echo, model=Hostile()) as host:
        async with at_terminal(host) as person:
            await person.says("go")
            shown = await person.sees(PROMPT)
            assert "red ␛[31mtext ␛]0;title␇ <U+009B>2J <U+202E>back␈" in shown
            assert "\x1b" not in person.screen and "\x9b" not in person.screen


async def test_the_practice_model_says_that_it_is_none(tmp_path: Path) -> None:
    model = PracticeTransport(delay=0)
    async with local_host(tmp_path, echo, model=model, model_name="practice") as host:
        async with at_terminal(host) as person:
            await person.says("hello")
            assert "but the practice model" in person.screen
            assert "[practice model] I am not a language model." in await person.sees(PROMPT)


async def until_running(host: Any) -> None:
    """Waits until the node asks the model."""
    async with asyncio.timeout(10):
        while [info.state for info in await host.list()] != ["thinking"]:
            await asyncio.sleep(0.005)
