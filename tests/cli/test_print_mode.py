"""One message for scripts: what is on stdout, what is on stderr, and the exit code."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, error, hold, raw, text
from modelserver.plans import echo, shell, tool_results
from support.nodes import local_host
from support.servers import FULL, serving
from turnstone.api.http_host import HttpHost
from turnstone.cli.print_mode import way_out
from turnstone.cli.script import run_script
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream
from turnstone.core.policy import Grants, decide
from turnstone.core.sandbox import Level
from turnstone.core.tool import PathUse, Prepared, ToolSpec

Plan = Callable[[dict[str, Any]], Reply]


async def printed(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    plan: Plan,
    prompt: str,
    **arguments: Any,
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one message to a node with this model."""
    async with local_host(folder, plan) as host:
        code = await run_script(host, prompt, **arguments)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have one; a script has none."""
    monkeypatch.setattr("sys.stdin", io.StringIO(""))


async def test_stdout_has_the_answer_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = await printed(tmp_path, capsys, echo, "hello there")
    assert (code, out) == (0, "hello there\n")
    assert "hello" not in err and "\x1b" not in err


async def test_tools_on_the_way_are_told_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "notes.txt").write_text("remember the milk\n")

    def plan(body: dict[str, Any]) -> Reply:
        if tool_results(body):
            return text("You wanted milk.")
        return calls(call("read_file", path="notes.txt"), text="Let me look.")

    code, out, err = await printed(tmp_path, capsys, plan, "what did I want?")
    assert (code, out) == (0, "You wanted milk.\n")
    assert "▸ read_file: notes.txt" in err and "remember the milk" in err


async def test_what_needs_approval_is_refused_where_nobody_can_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = await printed(tmp_path, capsys, shell, "run: touch here")
    assert code == 3
    assert "Not run" in out, "the model was told, and says so"
    assert "touch here" in err and "Nobody could be asked" in err
    assert "asked because: " in err and "--skip-permissions" not in err
    assert not (tmp_path / "workspace" / "here").exists()


TOOL = ToolSpec(name="a_tool", description="", parameters={})
INSIDE = PathUse(Path("/w/x"), "write", inside=True)
OUTSIDE = PathUse(Path("/x"), "read", inside=False)


def prepared(paths: tuple[PathUse, ...], commands: tuple[str, ...]) -> Prepared:
    return Prepared("a_tool", {}, "effect", "a_tool: x", paths=paths, commands=commands)


def test_the_way_out_that_is_named_leads_out() -> None:
    """For every question that the rules can ask: the flag is named just where it is an answer."""
    rules = set()
    for paths, commands, auto, level in itertools.product(
        [(), (INSIDE,), (INSIDE, OUTSIDE)], [(), ("true",)], [False, True], Level
    ):
        call = prepared(paths, commands)
        ruling = decide(call, TOOL, Grants(auto_approve=auto), level)
        if ruling.verdict != "ask":
            continue
        rules.add(ruling.rule)
        named = decide(call, TOOL, Grants(auto_approve=auto, tools={TOOL.name}), level)
        told = way_out([question(rule=ruling.rule)])
        assert ("--auto-approve a_tool" in told) is (named.verdict == "allow"), ruling.rule
        assert "terminal" in told
    assert len(rules) == 4, rules


def question(**fields: Any) -> ev.ToolItem:
    named = {"call_id": "c", "name": "a_tool", "func_name": "a_tool", "header": ""}
    return ev.ToolItem(**{"needs_approval": True, **named, **fields})


def test_one_call_that_no_flag_permits_is_enough() -> None:
    one = question(rule="a_tool is asked by default")
    other = question(rule="/x is outside the workspace")
    unasked = question(name="search", rule="search runs unasked", needs_approval=False)
    assert "--auto-approve a_tool," in way_out([one, unasked])
    assert "No flag" in way_out([one, other])


async def test_what_was_allowed_beforehand_is_not_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create = CreateWorkstream(auto_approve_tools=["bash"])
    code, out, _ = await printed(tmp_path, capsys, shell, "run: echo done it", create=create)
    assert (code, out) == (0, "done it\n")


def looks_and_breaks(body: dict[str, Any]) -> Reply:
    """Words on the way are no answer."""
    if tool_results(body):
        return error(401, "no such key")
    return calls(call("search", query="x"), text="Let me look.")


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (lambda body: error(401, "no such key"), "The turn failed: "),
        (lambda body: raw("[DONE]"), "The model gave no answer"),
        (looks_and_breaks, "The turn failed: "),
    ],
)
async def test_a_turn_without_an_answer_exits_with_1_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plan: Plan, sentence: str
) -> None:
    code, out, err = await printed(tmp_path, capsys, plan, "hello")
    assert (code, out) == (1, "")
    assert sentence in err and "Traceback" not in err


async def test_ctrl_c_stops_the_turn_and_exits_with_130(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = threading.Event()
    async with local_host(tmp_path, lambda body: hold(text("never"), gate)) as host:
        running = asyncio.create_task(run_script(host, "wait"))
        async with asyncio.timeout(10):
            while [info.state for info in await host.list()] != ["thinking"]:
                await asyncio.sleep(0.005)
            signal.raise_signal(signal.SIGINT)
            assert await running == 130
        gate.set()
        [info] = await host.list()
        assert info.state == "idle"
    out, err = capsys.readouterr()
    assert out == "" and "The turn was stopped." in err


async def test_with_json_each_line_is_an_envelope_from_connected_to_the_ending(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "a\x1b[2J \x9b2J \u202e b"
    code, out, _ = await printed(tmp_path, capsys, echo, hostile, output="stream-json")
    assert code == 0
    assert not set(out) & set("\x1b\x9b\u202e")
    events = [ev.decode(line) for line in out.splitlines()]
    assert isinstance(events[0], ev.Connected)
    assert isinstance(events[1], ev.MessageAccepted) and events[1].message == hostile
    assert isinstance(events[-1], ev.TurnEnded) and events[-1].text == hostile
    streamed = "".join(event.text for event in events if isinstance(event, ev.Content))
    assert streamed == hostile
    ids = [ev.EventId.parse(event.id) for event in events]
    assert ids == sorted(set(ids))
    assert len({json.loads(line)["ws_id"] for line in out.splitlines()}) == 1


async def test_json_says_3_too_when_nobody_could_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = await printed(tmp_path, capsys, shell, "run: ls", output="stream-json")
    assert code == 3
    types = [json.loads(line)["type"] for line in out.splitlines()]
    assert types.count("approval_asked") == types.count("approval_answered") == 1


async def test_a_hostile_answer_is_shown_on_stdout_and_not_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = await printed(tmp_path, capsys, echo, "x\x1b]52;c;AAAA\x07y\u202ez")
    assert out == "x␛]52;c;AAAA␇y<U+202E>z\n"


@pytest.mark.parametrize("prompt", ["", "  \n"])
async def test_a_message_without_a_word_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], prompt: str
) -> None:
    code, out, err = await printed(tmp_path, capsys, echo, prompt)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and "Traceback" not in err


async def test_a_workspace_that_is_not_there_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create = CreateWorkstream(workspace=str(tmp_path / "nowhere"))
    code, out, err = await printed(tmp_path, capsys, echo, "hello", create=create)
    assert (code, out) == (2, "")
    assert "nowhere is not a directory" in err and "Traceback" not in err


async def test_a_node_that_does_not_answer_is_a_sentence_and_exits_with_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    host = HttpHost("http://127.0.0.1:9")
    try:
        code = await run_script(host, "hello")
    finally:
        await host.aclose()
    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert err.startswith("error: ") and "127.0.0.1:9" in err and "Traceback" not in err


async def test_over_http_it_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from turnstone.api.http_host import HttpHost

    async with local_host(tmp_path, shell) as local, serving(local) as served:
        remote = HttpHost(served.url, FULL)
        try:
            code = await run_script(remote, "run: touch here")
        finally:
            await remote.aclose()
    out, err = capsys.readouterr()
    assert code == 3
    assert "Not run" in out and "▸ bash: touch here" in err
