"""Answers that change something, and what is typed besides messages, in the front end itself."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.history import InMemoryHistory

from modelserver import Reply, call, calls, text
from modelserver.plans import echo, last_user_text, shell, tool_results
from support.front import CTRL_C, ENTER, KEYS, Person, at_front
from support.hosts import Told, either
from support.nodes import local_host, local_node
from turnstone.cli.terminal.compose import Composing
from turnstone.cli.terminal.pastes import AFTER
from turnstone.core.errors import InvalidRequest

BEGIN_PASTE, END_PASTE = "\x1b[200~", "\x1b[201~"


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The person's editor: it writes what stands in this file into the one it is given."""
    wanted = tmp_path / "wanted"
    script = tmp_path / "editor"
    script.write_text(f'#!/bin/sh\ncat "{wanted}" > "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(script))
    return wanted


async def refuses(person: Person) -> None:
    """Says no as often as it takes: in the moment after a paste it is no answer."""
    while KEYS in person.alive:
        person.strikes("n")
        await asyncio.sleep(2 * AFTER)
    await person.sees("denied")


def two_commands(body: dict[str, Any]) -> Reply:
    if results := tool_results(body):
        return text("\n\n".join(output for _, output in results))
    return calls(call("bash", command="echo a-b"), call("bash", command="echo c-d"))


async def test_a_command_is_changed_in_the_editor_shown_again_and_run(
    tmp_path: Path, editor: Path
) -> None:
    editor.write_text("echo a-new-one\n")
    async with local_host(tmp_path, shell) as host, at_front(host) as person:
        await person.says("run: echo the-old-one")
        await person.answers("e")
        asked = await person.finds("│ echo a-new-one")
        assert "the-old-one" not in asked
        await person.answers("y")
        await person.sees("a-new-one")
        assert "✓ done" in person.printed


async def test_calls_are_answered_one_by_one(tmp_path: Path) -> None:
    async with local_host(tmp_path, two_commands) as host, at_front(host) as person:
        await person.says("go")
        await person.answers("o")
        await person.finds("1 of 2")
        person.strikes("n")
        await person.finds("2 of 2")
        person.strikes("y")
        await person.sees("c-d")
        assert "c-d" in person.printed and "⊘ denied: not run" in person.printed


async def test_a_no_with_words_is_typed_into_the_question(tmp_path: Path) -> None:
    async with local_node(tmp_path, shell) as node, at_front(node.host) as person:
        await person.says("run: touch here")
        await person.answers("f")
        person.strikes("use mktemp, you")
        await person.finds("› use mktemp, you")
        person.strikes(ENTER)
        await person.sees("denied")
        await person.finds("a message")
        assert "use mktemp, you" in tool_results(node.model.requests[-1])[-1][1]


async def test_a_long_paste_is_a_mark_and_is_sent_whole(tmp_path: Path) -> None:
    pasted = "\n".join(f"line {n}" for n in range(120))
    async with local_node(tmp_path, said) as node, at_front(node.host) as person:
        person.strikes(f"look: {BEGIN_PASTE}{pasted}{END_PASTE}")
        await person.finds("look: [pasted 120 lines #1]")
        await asyncio.sleep(2 * AFTER)
        person.strikes(ENTER)
        await person.sees("tokens")
        sent = last_user_text(node.model.requests[0])
        assert sent.startswith("look: [pasted 120 lines #1]\n\n")
        assert f"\n```\n{pasted}\n```" in sent
        assert "› look: [pasted 120 lines #1]\n" in person.printed
        assert "line 7" not in person.printed


def said(_body: dict[str, Any]) -> Reply:
    return text("seen")


def picture_of(person: Path) -> Composing:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 3, 2)
    (person / "cat.png").write_bytes(head)
    return Composing(person, InMemoryHistory())


@pytest.mark.parametrize("way", ["local", "http"])
async def test_an_image_that_is_named_is_sent_to_a_model_that_takes_images(
    tmp_path: Path, way: str
) -> None:
    compose = picture_of(tmp_path)
    model = Told()
    outputs = tmp_path / "outputs"
    async with (
        either(way, tmp_path, model, vision=True, outputs=outputs) as host,
        at_front(host, compose=compose) as person,
    ):
        model.plan = said
        await person.says("what is @cat.png?")
        await person.sees("seen")
        assert "› what is @cat.png?\n" in person.printed
        [kept] = outputs.glob("*/image-*.png")
        assert kept.read_bytes() == (tmp_path / "cat.png").read_bytes()


async def test_a_model_that_takes_no_images_is_told_and_what_was_typed_stands_there_again(
    tmp_path: Path,
) -> None:
    compose = picture_of(tmp_path)
    async with local_node(tmp_path, echo) as node, at_front(node.host, compose=compose) as person:
        await person.says("what is @cat.png?")
        await person.sees("takes no images")
        await person.finds("› what is @cat.png?")
        assert node.model.requests == []


async def test_the_cluster_is_shown_by_whoever_knows_it_and_otherwise_a_sentence(
    tmp_path: Path,
) -> None:
    async def cluster(words: str) -> str:
        if words == "nodess":
            raise InvalidRequest("cluster knows no 'nodess'.", hint="It takes: nodes")
        return f"nodes 3\nasked {words}"

    async with local_host(tmp_path, echo) as host:
        async with at_front(host, cluster=cluster) as person:
            await person.says("/cluster  nodes")
            await person.sees("nodes 3\nasked nodes\n")
            await person.says("/cluster nodess")
            await person.sees("error: cluster knows no 'nodess'.")
            await person.sees("It takes: nodes")
        async with at_front(host) as person:
            await person.says("/cluster")
            await person.sees("No cluster is known here.")


async def test_a_paste_answers_no_question(tmp_path: Path) -> None:
    async with local_host(tmp_path, shell) as host, at_front(host) as person:
        await person.says("run: touch here")
        await person.finds(KEYS)
        person.strikes(f"{BEGIN_PASTE}y\ra{END_PASTE}")
        await refuses(person)
        assert not (tmp_path / "workspace" / "here").exists()


async def test_text_that_ends_its_own_paste_sends_runs_and_answers_nothing(tmp_path: Path) -> None:
    compose = Composing(tmp_path, InMemoryHistory())
    async with local_host(tmp_path, shell) as host, at_front(host, compose=compose) as person:
        person.strikes(f"{BEGIN_PASTE}harmless{END_PASTE}\r!touch owned\r{END_PASTE}")
        await person.finds("!touch owned")
        person.strikes(CTRL_C)
        await person.misses("owned")
        await asyncio.sleep(2 * AFTER)
        await person.says("run: touch here")
        await person.finds(KEYS)
        person.strikes(f"{BEGIN_PASTE}x{END_PASTE}ya\r")
        await refuses(person)
        assert not (tmp_path / "owned").exists() and "harmless" not in person.printed
        assert not (tmp_path / "workspace" / "here").exists()


async def test_a_command_of_the_person_is_run_shown_and_shared(tmp_path: Path) -> None:
    compose = Composing(tmp_path, InMemoryHistory())
    async with local_node(tmp_path, echo) as node, at_front(node.host, compose=compose) as person:
        await person.says(r"!printf 'one\033[2Jtwo'; exit 3")
        await person.sees("one␛[2Jtwo")
        await person.sees("tokens")
        told = last_user_text(node.model.requests[0])
        assert f"in {tmp_path} (exit code 3)" in told and "one␛[2Jtwo\n```" in told


async def test_the_input_is_written_in_the_editor_too(tmp_path: Path, editor: Path) -> None:
    editor.write_text("written at leisure")
    async with local_node(tmp_path, echo) as node, at_front(node.host) as person:
        await person.types("half a")
        person.strikes("\x18\x05")
        await person.finds("› written at leisure")
        person.strikes(ENTER)
        await person.sees("written at leisure")
        await person.finds("a message")
        assert last_user_text(node.model.requests[0]) == "written at leisure"
