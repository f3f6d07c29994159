"""Which tools there are, and what their JSON files promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.tools import call, prepare
from turnstone.core.errors import ToolRefused
from turnstone.core.sensitive import store_files
from turnstone.core.tool import ToolContext
from turnstone.sandbox import Unconfined
from turnstone.tools import load_tools

#: Name: required arguments, other arguments, effect, unasked, read-only agents, task agents.
TABLE = {
    "bash": (["command"], ["action", "background", "handle"], "effect", False, False, True),
    "edit_file": (
        ["new_string", "old_string", "path"],
        ["near_line"],
        "idempotent",
        False,
        False,
        True,
    ),
    "forget": (["key"], ["scope"], "idempotent", True, False, False),
    "man": (["page"], ["section"], "pure", True, True, True),
    "math": (["code"], [], "pure", False, True, True),
    "plan": (["prompt"], [], "agent", False, False, False),
    "read_file": (["path"], ["limit", "offset"], "pure", True, True, True),
    "recall": ([], ["limit", "message", "query"], "pure", True, False, False),
    "remember": (["key", "value"], ["scope"], "idempotent", True, False, False),
    "search": (
        ["query"],
        ["context", "count", "gitignore", "glob", "path"],
        "pure",
        True,
        True,
        True,
    ),
    "task": (["prompt"], [], "agent", False, False, False),
    "web_fetch": (["question", "url"], [], "effect", False, True, True),
    "web_search": (["query"], ["max_results", "topic"], "pure", False, True, True),
    "write_file": (["content", "path"], [], "idempotent", False, False, True),
}


def test_the_tools_come_in_alphabetical_order() -> None:
    assert list(load_tools(Unconfined())) == sorted(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_a_tool_keeps_the_promises_of_the_table(name: str) -> None:
    required, optional, effect, unasked, agent, task_agent = TABLE[name]
    spec = load_tools(Unconfined())[name].spec

    assert spec.name == name
    assert sorted(spec.parameters["required"]) == required
    assert sorted(spec.parameters["properties"]) == sorted([*required, *optional])
    assert (spec.effect, spec.auto_approve) == (effect, unasked)
    assert (spec.agent, spec.task_agent) == (agent, task_agent)
    assert spec.primary_key in [*required, *optional]


@pytest.mark.parametrize("name", TABLE)
def test_nothing_of_ours_is_sent_to_the_model(name: str) -> None:
    function = load_tools(Unconfined())[name].spec.function()

    assert set(function["function"]) == {"name", "description", "parameters"}
    assert set(function["function"]["parameters"]) == {"type", "properties", "required"}


def fill(folder: Path) -> None:
    (folder / "turnstone.db.nodes").mkdir(parents=True)
    for name in ("token", "turnstone.db", "turnstone.db-wal", "turnstone.db.nodes/server.lock"):
        (folder / name).write_text("needle\n")


OWN = ("token", "turnstone.db", "turnstone.db-wal", "turnstone.db.nodes/server.lock", "new.db")


@pytest.mark.parametrize("where", ["ws/state", "ws/a/b", "ws", ".", "elsewhere"])
@pytest.mark.parametrize("name", OWN)
async def test_our_own_state_is_refused_wherever_it_lies(
    where: str, name: str, context: ToolContext
) -> None:
    state = context.workspace.parent / where
    fill(state)
    (context.workspace / "link").symlink_to(state / name)
    tools = load_tools(Unconfined(), hidden=[state])

    for path in (str(state / name), "link"):
        for tool, more in (("read_file", {}), ("write_file", {"content": "x"}), ("search", {})):
            with pytest.raises(ToolRefused, match=r"^\S+ belongs to turnstone itself"):
                query = {"query": "needle"} if tool == "search" else {}
                await prepare(tools[tool], context, path=path, **more, **query)


@pytest.mark.parametrize("where", ["ws/state", "ws/a/b", "ws"])
async def test_a_search_leaves_our_own_state_out(where: str, context: ToolContext) -> None:
    state = context.workspace.parent / where
    fill(state)
    (context.workspace / "mine").write_text("needle\n")
    search = load_tools(Unconfined(), hidden=[state])["search"]

    result = await call(search, context, query="needle")
    named = await call(search, context, query="o")

    assert result.output == "mine:1:needle"
    assert named.output == "[no line matches]"


async def test_the_workspace_stays_of_use_where_our_own_state_is_in_it(
    context: ToolContext,
) -> None:
    tools = load_tools(Unconfined(), hidden=[context.workspace])
    (context.workspace / "sub").mkdir()

    await call(tools["write_file"], context, path="sub/app.db", content="text")

    assert (await call(tools["read_file"], context, path="sub/app.db")).output == "   1\ttext"


async def test_a_store_of_any_name_is_refused_where_its_files_are_named(
    context: ToolContext,
) -> None:
    store = context.workspace / "mine.sqlite"
    tools = load_tools(Unconfined(), hidden=store_files(store))

    for name in ("mine.sqlite", "mine.sqlite-wal", "mine.sqlite.nodes/server.lock"):
        with pytest.raises(ToolRefused):
            await prepare(tools["read_file"], context, path=name)
    await prepare(tools["read_file"], context, path="mine.sqlite3")


async def test_a_missing_file_is_not_told_to_be_near_to_one_of_ours(context: ToolContext) -> None:
    (context.workspace / "token").write_text("x")
    tools = load_tools(Unconfined(), hidden=[context.workspace])

    result = await call(tools["read_file"], context, path="tokens")

    assert result.output == "tokens does not exist."
