"""What the documentation says of the queue is so: its programs and commands, on a real one."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from modelserver.plans import shell
from support.needs import require
from support.redis import redis_server
from support.workers import working_node
from turnstone.app import takes_queue
from turnstone.core.config import load_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "redis.md"

#: Seconds for all programs of the page.
PATIENCE = 50


def blocks(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


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


async def test_the_programs_of_the_page_run_and_print_what_they_say(tmp_path: Path) -> None:
    programs = blocks("python")
    with redis_server() as redis:
        here = f'TurnstoneClient(host="127.0.0.1", port={redis.port})'
        async with working_node(tmp_path / "node", shell, redis.address, "n1"):
            printed = [
                await output_of(
                    sys.executable,
                    "-W",
                    "error",
                    "-c",
                    program.replace('TurnstoneClient(host="localhost")', here),
                    folder=tmp_path,
                )
                for program in programs
            ]

    waited, later, asked, subscribed, several = printed
    assert waited == "Which service failed first?\n"
    assert later == "Summarise the logs.\n"
    assert asked.startswith("['bash']\n")
    assert "Not now." in asked
    assert "ws_created" in subscribed
    assert "knows no command '/compact'" in subscribed
    assert "ws_closed" in subscribed
    assert "'node_id': 'n1'" in several
    assert several.endswith("['one', 'two', 'three']\n")


async def test_the_commands_of_the_page_show_a_dead_letter_and_forget_it(tmp_path: Path) -> None:
    commands = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
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

    assert all(words[0] == "redis-cli" for words in commands)
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
