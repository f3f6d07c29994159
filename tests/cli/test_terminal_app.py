"""The terminal front end, as a person has it: a real node, a scripted model over real HTTP."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

from modelserver import Reply, call, calls, error, hold, text
from modelserver.plans import echo, last_user_text, shell, tool_results
from oturn.transport.base import Finished, TextDelta
from support.front import ALT_ENTER, CTRL_C, CTRL_D, ENTER, IDLE, KEYS, TAB, at_front
from support.nodes import local_host, local_node
from support.servers import FULL, serving
from turnstone.api.http_host import HttpHost
from turnstone.core.commands import COMMANDS
from turnstone.core.host import Answer, CreateWorkstream, SendMessage
from turnstone.core.local_host import LocalHost


def writes(body: dict[str, Any]) -> Reply:
    if tool_results(body):
        return text("Written." if "refused" not in tool_results(body)[-1][1] else "As you wish.")
    return calls(call("write_file", path="notes.txt", content="one\ntwo\n"))


class Gated:
    """`shell`, but what begins with `wait` is answered only when the gate is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def __call__(self, body: dict[str, Any]) -> Reply:
        if last_user_text(body).startswith("wait"):
            return hold(text("Waited for."), self.gate)
        return shell(body)


async def test_an_answer_is_printed_once_and_whole(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host, at_front(host) as person:
        await person.says("one two three four five six")
        await person.sees("› one two three four five six")
        await person.sees("one two three four five six")
        await person.finds(IDLE)
        assert person.printed.count("one two three four five six") == 2


async def test_what_streams_is_alive_and_is_printed_when_its_block_ends(tmp_path: Path) -> None:
    gate = threading.Event()

    def plan(_: dict[str, Any]) -> Reply:
        return hold(text("First *paragraph*.\n\nSecond one, which ends."), gate, before=6)

    async with local_host(tmp_path, plan) as host, at_front(host) as person:
        await person.says("go")
        await person.sees("First paragraph.\n")
        await person.finds("Second one")
        assert "Second one" not in person.printed
        gate.set()
        await person.sees("Second one, which ends.\n")
        await person.finds(IDLE)
        assert "Second one" not in person.alive


async def test_a_yes_runs_exactly_what_was_shown(tmp_path: Path) -> None:
    async with local_host(tmp_path, shell) as host, at_front(host) as person:
        await person.says("run: echo a-b-c | tr a-c x-z")
        question = await person.finds(KEYS)
        assert "echo a-b-c | tr a-c x-z" in question
        assert "bash is asked by default" in question
        await person.answers("y")
        await person.sees("▸ bash: echo a-b-c | tr a-c x-z  ✓ done")
        await person.sees("    x-y-z\n")
        await person.finds(IDLE)
        assert KEYS not in person.alive


async def test_a_no_runs_nothing_and_is_spelled_out(tmp_path: Path) -> None:
    async with local_host(tmp_path, writes) as host, at_front(host) as person:
        await person.says("write the notes")
        await person.answers("n")
        await person.sees("⊘ denied: not run")
        await person.sees("As you wish.")
        assert not (tmp_path / "workspace" / "notes.txt").exists()


async def test_keys_struck_before_the_question_do_not_answer_it(tmp_path: Path) -> None:
    async with local_host(tmp_path, shell) as host, at_front(host) as person:
        await person.says("run: touch here")
        await person.finds("asked because")
        person.strikes("y")
        await person.answers("n")
        await person.sees("denied")
        assert not (tmp_path / "workspace" / "here").exists()


async def test_who_is_typing_goes_on_and_answers_after_tab(tmp_path: Path) -> None:
    gate = threading.Event()

    def plan(body: dict[str, Any]) -> Reply:
        return shell(body) if tool_results(body) else hold(shell(body), gate)

    async with local_host(tmp_path, plan) as host, at_front(host) as person:
        await person.says("run: touch here")
        await person.finds("Ctrl-C stops")
        await person.types("half a me")
        gate.set()
        await person.finds("◆")
        person.strikes("yyy")
        await person.finds("half a meyyy")
        assert not (tmp_path / "workspace" / "here").exists()
        person.strikes(TAB)
        await person.answers("y")
        await person.sees("✓ done")
        await person.finds("half a meyyy")


async def test_an_answer_from_elsewhere_ends_the_question_here(tmp_path: Path) -> None:
    async with local_host(tmp_path, shell) as host, at_front(host) as person:
        await person.says("run: echo hello")
        await person.finds(KEYS)
        [info] = await host.list()
        await host.approve(Answer(ws_id=info.id, approved=True, by="ann"))
        assert "allowed by ann" in await person.sees("✓ done")
        await person.misses(KEYS)


async def test_enter_queues_while_a_turn_runs_and_that_is_shown(tmp_path: Path) -> None:
    gated = Gated()
    async with local_host(tmp_path, gated) as host, at_front(host) as person:
        await person.says("wait")
        await person.finds("Enter queues · Alt-Enter steers")
        await person.says("and then this")
        await person.finds("⋯ queued: and then this")
        gated.gate.set()
        await person.sees("Waited for.")
        await person.sees("› and then this")
        await person.sees("and then this")
        await person.misses("queued")


async def test_alt_enter_steers_the_turn_in_progress(tmp_path: Path) -> None:
    async with local_node(tmp_path, shell) as node, at_front(node.host) as person:
        await person.says("run: echo one")
        await person.finds(KEYS)
        person.strikes(TAB)
        await person.types("mind the gap")
        person.strikes(ALT_ENTER)
        await person.finds("↳ steers: mind the gap")
        person.strikes(TAB)
        await person.answers("y")
        assert "to the turn in progress" in await person.sees("› mind the gap")
        await person.finds(IDLE)
        assert last_user_text(node.model.requests[-1]) == "mind the gap"


async def test_alt_enter_begins_a_new_line_where_nothing_runs(tmp_path: Path) -> None:
    async with local_node(tmp_path, echo) as node, at_front(node.host) as person:
        await person.types("one")
        person.strikes(ALT_ENTER)
        await person.types("two\\")
        person.strikes(ENTER)
        await person.says("three")
        await person.sees("› one\n  two\n  three\n")
        await person.finds(IDLE)
        assert last_user_text(node.model.requests[-1]) == "one\ntwo\nthree"


async def test_a_message_that_waits_is_taken_back_to_be_edited(tmp_path: Path) -> None:
    gated = Gated()
    async with local_host(tmp_path, gated) as host, at_front(host) as person:
        await person.says("wait")
        await person.finds("Ctrl-C stops")
        await person.says("not so fast")
        await person.finds("⋯ queued: not so fast")
        person.strikes("\x1b\x1b[A")
        await person.misses("queued")
        await person.finds("› not so fast")
        gated.gate.set()


async def test_ctrl_c_stops_the_turn_and_keeps_what_was_typed(tmp_path: Path) -> None:
    gated = Gated()
    async with local_host(tmp_path, gated) as host, at_front(host) as person:
        await person.says("wait")
        await person.finds("Ctrl-C stops")
        await person.types("half a message")
        person.strikes(CTRL_C)
        await person.sees("Stopping")
        await person.sees("The turn was stopped.")
        await person.finds("half a message")
        gated.gate.set()
        person.strikes(ENTER)
        await person.sees("› half a message")


async def test_ctrl_c_at_a_question_runs_nothing_and_stops_the_turn(tmp_path: Path) -> None:
    async with local_host(tmp_path, writes) as host, at_front(host) as person:
        await person.says("write the notes")
        await person.finds(KEYS)
        person.strikes(CTRL_C)
        await person.sees("⊘ cancelled")
        await person.sees("The turn was stopped.")
        assert not (tmp_path / "workspace" / "notes.txt").exists()
        await person.finds(IDLE)


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

    gated = Gated()
    async with local_host(tmp_path, gated) as host, at_front(Unstoppable(host)) as person:
        await person.says("wait")
        await person.finds("Ctrl-C stops")
        person.strikes(CTRL_C)
        await person.sees("Ctrl-C once more leaves")
        person.strikes(CTRL_C)
        assert await person.leaves() == 0
        [info] = await host.list()
        assert f"({info.id}) is at work." in person.printed
        assert f"turnstone --resume {info.id}" in person.printed
        gated.gate.set()


async def test_ctrl_c_clears_a_line_and_twice_in_an_empty_one_leaves(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host, at_front(host) as person:
        await person.types("half a line")
        person.strikes(CTRL_C)
        await person.misses("half a line")
        person.strikes(CTRL_C)
        await person.sees("Press Ctrl-C once more to leave")
        await person.types("x")
        person.strikes("\x7f")
        await person.finds(IDLE)
        person.strikes(CTRL_C)
        await person.sees("Press Ctrl-C once more to leave")
        person.strikes(CTRL_C)
        assert await person.leaves() == 0


async def test_ctrl_d_leaves_an_empty_line_and_no_other(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host, at_front(host) as person:
        await person.types("stay")
        person.strikes(CTRL_D)
        person.strikes("\x7f" * 4)
        await person.finds(IDLE)
        person.strikes(CTRL_D)
        assert await person.leaves() == 0
        assert "at work" not in person.printed


async def test_slash_commands_do_what_help_says_also_while_a_turn_runs(tmp_path: Path) -> None:
    gated = Gated()
    async with local_host(tmp_path, gated) as host:
        async with at_front(host, create=CreateWorkstream(name="mine")) as person:
            await person.says("wait")
            await person.finds("Ctrl-C stops")
            await person.says("/help")
            await person.sees("/exit")
            assert all(command.name in person.printed for command in COMMANDS)
            await person.says("/dance now")
            await person.sees("There is no command /dance.")
            await person.says("/cancel")
            await person.sees("The turn was stopped.")
            gated.gate.set()
            await person.says("/persona a pirate")
            await person.sees("speaks as a pirate")
            await person.says("/EXIT")
            assert await person.leaves() == 0
            assert person.printed.count("speaks as a pirate") == 1
            assert person.printed.count("no command /dance") == 1


async def test_the_workstreams_of_a_node_are_listed_left_and_closed(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_front(host, create=CreateWorkstream(name="one")) as person:
            await person.says("a first message")
            await person.sees("› a first message")
            await person.sees("a first message")
            await person.says("/ws new two")
            await person.sees("── two (")
            await person.says("/ws")
            await person.sees("  1 one (")
            await person.sees("* 2 two (")
            await person.types("a draft")
            person.strikes("\x1b1")
            await person.sees("── one (")
            await person.misses("a draft")
            person.strikes("\x1b2")
            await person.finds("a draft")
            person.strikes(CTRL_C)
            await person.misses("a draft")
            await person.says("/ws 1")
            await person.sees("── one (")
            await person.says("/ws rename uno")
            await person.sees("This workstream is called uno.")
            await person.finds("1 uno")
            await person.says("/ws close")
            await person.sees("── two (")
            assert [info.name for info in await host.list()] == ["two"]
            await person.says("/ws 7")
            await person.sees("There is no workstream '7'.")
            await person.says("/ws close")
            await person.sees("── one (")
            assert [info.name for info in await host.list()] == ["one"]  # there is always one


async def test_another_workstream_that_needs_somebody_rings_and_says_so(tmp_path: Path) -> None:
    async with local_host(tmp_path, shell) as host:
        async with at_front(host, create=CreateWorkstream(name="one")) as person:
            await person.says("/ws new two")
            await person.sees("── two (")
            other, _ = await host.list()
            await host.send(SendMessage(ws_id=other.id, message="run: echo hello"))
            await person.sees("◆ 1 one asks: /ws 1 goes there.")
            await person.finds("◆ 1 one")
            assert person.paper.bells == 1
            assert person.paper.titles[-1] == "◆ one · · two · turnstone"
            await person.says("/ws 1")
            await person.answers("y")
            await person.sees("✓ done")
            assert person.paper.bells == 1
            assert person.paper.titles[-1].endswith("one · turnstone")


async def test_a_fork_is_gone_on_with(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_front(host, create=CreateWorkstream(name="one")) as person:
            await person.says("a first message")
            await person.finds(IDLE)
            await person.sees("a first message")
            await person.says("/fork")
            await person.sees("── one (fork) (")
            await person.sees("› a first message")
            await person.says("and more")
            await person.sees("› and more")
            await person.finds(IDLE)
            _, fork = await host.list()
            assert fork.name == "one (fork)"


async def test_a_session_is_gone_on_with_and_shows_what_was_said(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host:
        async with at_front(host) as person:
            await person.says("remember this")
            await person.sees("› remember this")
            await person.sees("remember this")
            await person.finds(IDLE)
        [info] = await host.list()
        async with at_front(host, resume=info.id) as person:
            await person.sees("› remember this")
            await person.says("/new")
            await person.sees("A new conversation")


async def test_a_model_that_cannot_be_asked_is_a_sentence_and_the_chat_goes_on(
    tmp_path: Path,
) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        return error(401, "no such key") if last_user_text(body) == "hello" else text("Hi.")

    async with local_host(tmp_path, plan) as host, at_front(host) as person:
        await person.says("hello")
        await person.sees("The turn failed: ")
        await person.finds("✖ 1")
        await person.says("again")
        await person.sees("Hi.")
        assert "Traceback" not in person.printed


async def test_a_workstream_closed_elsewhere_is_told_and_another_is_begun(tmp_path: Path) -> None:
    async with local_host(tmp_path, echo) as host, at_front(host) as person:
        [info] = await host.list()
        await host.close(info.id)
        await person.sees("This workstream was closed.")
        await person.says("hello?")
        await person.sees(f"error: There is no workstream {info.id}")
        await person.sees("/ws new begins another workstream.")
        await person.finds("hello?")
        person.strikes(CTRL_C)
        await person.misses("hello?")
        await person.says("/ws new next")
        await person.sees("── next (")


async def test_what_a_model_streams_cannot_steer_the_terminal(tmp_path: Path) -> None:
    class Hostile:
        """Streams escapes cut in every place, as a transport."""

        async def stream(self, request: Any) -> Any:
            for piece in (
                "red \x1b",
                "[31mtext \x1b]0;title",
                "\x07 \x9b2J",
                " \u202eback",
                "\x08 &#x202e;",
            ):
                yield TextDelta(piece)
            yield Finished("stop")

        async def aclose(self) -> None:
            pass

    async with local_host(tmp_path, echo, model=Hostile()) as host, at_front(host) as person:
        await person.says("go")
        await person.sees("red ␛[31mtext ␛]0;title␇ <U+009B>2J <U+202E>back␈ <U+202E>")
        assert "\x9b" not in person.paper.text and "\u202e" not in person.paper.text
        assert "\x1b]" not in person.paper.text


async def test_over_http_it_is_the_same_also_while_another_watches(tmp_path: Path) -> None:
    async with local_host(tmp_path, writes) as local, serving(local) as served:
        remote = HttpHost(served.url, FULL)
        async with at_front(remote, attached=True) as person:
            await person.says("write the notes")
            await person.finds(KEYS)
            [info] = await local.list()
            async with at_front(local, resume=info.id) as other:
                await other.finds(KEYS)
                await person.answers("y")
                await other.sees("✓ done")
                await other.misses(KEYS)
            await person.sees("✓ done")
            await person.sees("Written.")
            await person.finds(IDLE)
            assert person.printed.count("Written.") == 1
            assert "allowed by" not in person.printed
            await person.says("again")
            await person.finds(KEYS)
            person.strikes(CTRL_D)
            assert await person.leaves() == 0
            assert "waits for an answer. It goes on there." in person.printed
        await remote.aclose()


async def test_what_was_folded_is_shown_whole_by_a_key(tmp_path: Path) -> None:
    async with local_host(tmp_path, shell) as host, at_front(host) as person:
        await person.says("run: seq -f 'row %.0f.' 30")
        await person.answers("y")
        folded = await person.sees("more lines are not shown")
        assert "row 8." in folded and "row 9." not in folded
        await person.finds(IDLE)
        person.strikes("\x0f")
        await person.sees("row 19.\n")
        await person.sees("row 30.\n")


async def test_a_node_that_cannot_be_reached_is_told_and_what_was_typed_is_kept(
    tmp_path: Path,
) -> None:
    async with local_host(tmp_path, echo) as local, serving(local) as served:
        remote = HttpHost(served.url, FULL)
        async with at_front(remote, attached=True) as person:
            await person.says("hello")
            await person.sees("› hello")
            await person.finds(IDLE)
            await served.stop()
            await person.finds("The node cannot be reached.")
            await person.says("are you there?")
            await person.sees("error: ")
            await person.finds("› are you there?")
            async with serving(local, port=served.port):
                await person.misses("The node cannot be reached.")
                person.strikes(ENTER)
                await person.sees("› are you there?")
                await person.sees("are you there?")
        await remote.aclose()
