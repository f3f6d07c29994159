"""Wrong arguments are told by name, before anything is looked at."""

from __future__ import annotations

from typing import Any

import pytest

from support.tools import prepare
from turnstone.core.errors import ToolRefused
from turnstone.core.tool import ToolContext
from turnstone.sandbox import Unconfined
from turnstone.tools import load_tools

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("bash", {}, "bash: the argument `command` is missing."),
    ("bash", {"command": 3}, "bash: the argument `command` must be text, not a whole number."),
    ("bash", {"command": None}, "bash: the argument `command` must be text, not null."),
    ("bash", {"command": ["ls"]}, "bash: the argument `command` must be text, not a list."),
    ("bash", {"command": "  \n"}, "bash: the argument `command` is empty."),
    ("bash", {"command": "a\0b"}, "bash: the argument `command` contains a NUL character."),
    ("read_file", {"offset": 1}, "read_file: the argument `path` is missing."),
    (
        "read_file",
        {"path": "a", "offset": "x"},
        "read_file: the argument `offset` must be a whole number, not text.",
    ),
    (
        "read_file",
        {"path": "a", "limit": 1.5},
        "read_file: the argument `limit` must be a whole number, not a number.",
    ),
    ("read_file", {"path": "a", "offset": 0}, "the argument `offset` must be 1 or more."),
    ("read_file", {"path": "a", "limit": -3}, "the argument `limit` must be 1 or more."),
    ("write_file", {"path": "a"}, "write_file: the argument `content` is missing."),
    ("write_file", {"path": "a", "content": "\ud800"}, "half of a character pair"),
    ("search", {"path": "."}, "search: the argument `query` is missing."),
    ("search", {"query": ""}, "search: the argument `query` is empty."),
    ("search", {"query": "a\nb"}, "search: the argument `query` must be one line."),
    ("search", {"query": "x" * 20_000}, "has 20,000 bytes: too long."),
]


@pytest.mark.parametrize(("name", "arguments", "sentence"), WRONG)
async def test_a_wrong_argument_is_refused_by_its_name(
    name: str, arguments: dict[str, Any], sentence: str, context: ToolContext
) -> None:
    tool = load_tools(Unconfined())[name]

    with pytest.raises(ToolRefused) as refused:
        await prepare(tool, context, **arguments)

    assert sentence in str(refused.value)
    assert refused.value.code == "tool_refused"


@pytest.mark.parametrize("value", [2, "2", 2.0, "2.0"])
async def test_a_number_may_be_written_as_text(value: object, context: ToolContext) -> None:
    tool = load_tools(Unconfined())["read_file"]

    prepared = await prepare(tool, context, path="a", offset=value)

    assert prepared.arguments["offset"] == 2


async def test_unknown_arguments_are_dropped_and_do_not_change_the_hash(
    context: ToolContext,
) -> None:
    tool = load_tools(Unconfined())["bash"]

    plain = await prepare(tool, context, command="ls")
    padded = await prepare(tool, context, command="ls", explanation="to look")

    assert plain.arguments == padded.arguments == {"command": "ls"}
    assert plain.hash == padded.hash


async def test_another_argument_is_another_hash(context: ToolContext) -> None:
    tool = load_tools(Unconfined())["bash"]

    assert (await prepare(tool, context, command="ls")).hash != (
        await prepare(tool, context, command="ls ")
    ).hash
