"""What the documentation says of the queue is so: its programs and commands, on a real one."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from modelserver.plans import shell
from support.needs import require
from support.nodes import local_node
from support.processes import run, server
from support.redis import redis_server
from support.servers import FULL, serving
from support.workers import working_node
from turnstone.app import takes_queue
from turnstone.core.config import load_settings
from turnstone.core.events import Outcome
from turnstone.mq import AsyncTurnstoneClient, TurnResult, TurnstoneClient
from turnstone.mq import protocol as p
from turnstone.mq.wire import channels

PAGE = Path(__file__).resolve().parents[2] / "docs" / "redis.md"

#: Seconds for all programs of the page.
PATIENCE = 50


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def asks(program: str) -> bool:
    """Whether it follows a turn by hand, and so needs one with a question."""
    return "client.stream(" in program and "client.follow(" not in program


async def output_of(*command: str, folder: Path) -> str:
    """What a command prints; it must end well, and say nothing on its error stream."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            printed, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors) == (0, b""), f"{command}\n{errors.decode()}"
    return printed.decode()


async def printed_by(program: str, port: int, folder: Path) -> str:
    here = f'TurnstoneClient(host="127.0.0.1", port={port})'
    program = program.replace('TurnstoneClient(host="localhost")', here)
    return await output_of(sys.executable, "-W", "error", "-c", program, folder=folder)


async def test_the_programs_of_the_page_run_and_print_what_they_say(tmp_path: Path) -> None:
    programs = [program for program in blocks("python") if not asks(program)]
    with redis_server() as redis:
        async with working_node(tmp_path / "node", shell, redis.address, "n1"):
            printed = [
                await printed_by(program, redis.port, folder=tmp_path) for program in programs
            ]

    waited, later, decided, followed, subscribed, several = printed
    assert decided == "Look around.\n"
    assert followed == "Count the files.\n"
    assert waited == "Which service failed first?\n"
    assert later == "Summarise the logs.\n"
    assert "ws_created" in subscribed
    assert "The model speaks as a pirate." in subscribed
    assert "ws_closed" in subscribed
    assert "'node_id': 'n1'" in several
    assert several.endswith("['one', 'two', 'three']\n")


async def test_the_program_that_follows_a_turn_is_asked_with_the_practice_model(
    tmp_path: Path,
) -> None:
    [program] = [program for program in blocks("python") if asks(program)]
    config = tmp_path / ".config" / "turnstone" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[bridge]\nnode_id = "server-12"\n')
    with redis_server() as redis:
        place = ["--redis-host", "127.0.0.1", "--redis-port", str(redis.port)]
        async with server(tmp_path, "--model", "practice", *place) as node:
            asked = await printed_by(program, redis.port, folder=tmp_path)

    assert "['bash']\n" in asked
    assert "Not now." in asked
    assert "server-12, whose own list is turnstone:inbound:server-12" in node.printed


@pytest.mark.parametrize("program", ["turnstone-server", "turnstone-bridge"])
async def test_a_name_that_no_node_can_have_ends_a_program_at_its_start(
    tmp_path: Path, program: str
) -> None:
    async with local_node(tmp_path / "node", shell) as node, serving(node.host) as served:
        with redis_server() as redis:
            arguments = ["--redis-host", "127.0.0.1", "--redis-port", str(redis.port)]
            if program == "turnstone-server":
                arguments += ["--model", "practice", "--port", "0"]
            code, _, complaint = await run(
                tmp_path / "home",
                program,
                *arguments,
                TURNSTONE_AUTH_TOKEN=FULL,
                TURNSTONE_BRIDGE_SERVER_URL=served.url,
                TURNSTONE_BRIDGE_NODE_ID="web 1",
            )

    assert code == 1
    assert "'web 1' cannot be the name of a node" in complaint
    assert "[bridge] node_id" in complaint
    assert "Traceback" not in complaint


def rows(title: str) -> dict[str, list[str]]:
    """The other cells of each row of the table with this head, by its first."""
    table = PAGE.read_text(encoding="utf-8").partition(f"| {title} |")[2].partition("\n\n")[0]
    found = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n")[2:]]
    return {row[0].strip("`"): row[1:] for row in found}


def own_fields(kind: type[Any], base: type[Any]) -> str:
    common = {field.name for field in fields(base)}
    made = kind()
    own = [field.name for field in fields(kind) if field.name not in common]
    return ", ".join(f"`{name}={json.dumps(getattr(made, name))}`" for name in own)


def test_the_tables_of_messages_and_events_are_those_of_the_protocol() -> None:
    messages, events = p.InboundMessage, p.OutboundEvent
    kinds = [getattr(p, name) for name in p.__all__ if name.endswith(("Message", "Event"))]
    told = {
        base: {k().type: own_fields(k, base) for k in kinds if issubclass(k, base) and k != base}
        for base in (messages, events)
    }

    assert {k: row[0] for k, row in rows("type | fields and defaults | meaning").items()} == told[
        messages
    ]
    of_events = rows("type | fields and defaults | channels | meaning")
    assert {kind: row[0] for kind, row in of_events.items()} == told[events]
    for kind, row in of_events.items():
        assert row[1] == ", ".join(channels(events(type=kind)))


@pytest.mark.parametrize("client", [TurnstoneClient, AsyncTurnstoneClient])
def test_the_arguments_and_the_result_of_send_and_wait_are_as_the_page_says(client: Any) -> None:
    arguments = list(inspect.signature(client.send_and_wait).parameters.values())[1:]
    assert {
        name: row[0]
        for name, row in rows("argument of `send_and_wait` | default | meaning").items()
    } == {
        one.name: "" if one.default is one.empty else f"`{json_like(one.default)}`"
        for one in arguments
    }
    assert list(rows("field of `TurnResult` | meaning")) == [f.name for f in fields(TurnResult)]


def json_like(default: object) -> str:
    """As Python is written on the page: texts in double quotes."""
    return json.dumps(default) if isinstance(default, str) else repr(default)


def test_the_outcomes_of_the_page_are_those_that_there_are() -> None:
    of_turns = set(get_args(Outcome))
    assert set(rows("`outcome` | meaning")) == of_turns | {"refused", "closed", "dead", "timer"}


async def test_the_commands_of_the_page_show_a_dead_letter_and_forget_it(tmp_path: Path) -> None:
    lines = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    commands = [words for words in lines if words and words[0] == "redis-cli"]
    with redis_server() as redis:
        client = require("redis-cli")

        async def typed(words: list[str]) -> str:
            words = [word.replace("CORRELATION_ID", "c1") for word in words[1:]]
            return await output_of(client, "-p", str(redis.port), *words, folder=tmp_path)

        async with working_node(tmp_path / "node", shell, redis.address, "n1", target_wait=0.1):
            with redis.client() as sender:
                message = '{"type": "send", "correlation_id": "c1", "target_node": "n9"}'
                sender.rpush("turnstone:inbound", message)
                async with asyncio.timeout(PATIENCE):
                    while not sender.xlen("turnstone:x:dead"):
                        await asyncio.sleep(0.02)  # the letter is the state that is waited for
            count, newest, state, told, forgotten = [await typed(words) for words in commands]
            again = await typed(commands[0])

    assert (count, state, forgotten, again) == ("1\n", "dead\n", "1\n", "0\n")
    assert "There is no node n9." in newest
    assert all(field in newest for field in ("correlation_id", "ws_id", "tries", "bytes", "raw"))
    assert '"outcome":"dead"' in told


@pytest.mark.parametrize(
    ("flags", "file", "takes"),
    [
        ({"redis.host": "redis"}, "", True),
        ({}, '[redis]\nhost = "redis"', False),
        ({"redis.port": 6380}, "", False),
        ({}, "[server]\nqueue = true", True),
    ],
)
def test_naming_the_host_of_redis_on_the_command_line_is_enough_to_take_work(
    tmp_path: Path, flags: dict[str, str | int], file: str, takes: bool
) -> None:
    config = tmp_path / ".config" / "turnstone" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(file)
    settings = load_settings("turnstone-server", flags=flags, env={"HOME": str(tmp_path)})

    assert takes_queue(settings) is takes


async def test_the_program_of_0_2_runs_as_it_stands_for_any_node_and_for_one_by_name(
    tmp_path: Path,
) -> None:
    program = """
from turnstone.mq import TurnstoneClient

with TurnstoneClient() as client:
    # Generic — any available node picks it up
    result = client.send_and_wait("Analyze the error logs", auto_approve=True)
    print(result.content)

    # Directed — must run on a specific server
    result = client.send_and_wait(
        "Check disk I/O on this server",
        target_node="server-12",
        auto_approve=True,
    )
    print(result.ok, result.content)
"""
    with redis_server() as redis:
        here = program.replace("Client()", f'Client(host="127.0.0.1", port={redis.port})')
        async with working_node(tmp_path / "node", shell, redis.address, "server-12"):
            printed = await output_of(sys.executable, "-W", "error", "-c", here, folder=tmp_path)

    assert printed == "Analyze the error logs\nTrue Check disk I/O on this server\n"


async def test_a_server_that_is_told_of_a_redis_and_takes_no_work_from_it_says_so(
    tmp_path: Path,
) -> None:
    async with (
        server(tmp_path / "told", "--model", "practice", "--redis-port", "7391") as told,
        server(tmp_path / "plain", "--model", "practice") as plain,
    ):
        await told.terminate()
        await plain.terminate()

    line = "queue       none: add --redis-host, or [server] queue = true"
    assert line in told.printed
    assert "queue  " not in plain.printed
