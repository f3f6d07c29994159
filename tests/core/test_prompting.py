"""The system prompt: what it is made of, and that every request begins with the same bytes."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, call, calls, text
from modelserver.plans import tool_results
from support.long_talk import LongTalk
from support.nodes import local_node
from support.watching import ending, send
from turnstone.core.host import CreateWorkstream
from turnstone.core.project_notes import MAX_NOTES, project_notes
from turnstone.core.prompts import Facts, system_prompt

STEPS = 30


def reads(body: dict[str, Any]) -> Reply:
    """A turn of thirty steps with a tool call in each, then the answer."""
    done = len(tool_results(body)) % STEPS
    last = body["messages"][-1]["role"]
    if last == "user" or done:
        return calls(call("read_file", path="notes.txt"))
    return text("read it")


def sent(requests: list[Any]) -> list[bytes]:
    """What a provider's cache sees, without what closes the list: model, tools and messages."""
    return [
        json.dumps([r["model"], r["tools"], r["messages"]], ensure_ascii=False)[:-2].encode()
        for r in requests
    ]


async def test_each_request_begins_with_the_bytes_of_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/notes.txt").write_text("a line\n")
    (tmp_path / "workspace/AGENTS.md").write_text("Use tabs.\n")
    requests: list[Any] = []
    for turn in range(2):  # in two processes, so to say: the second starts from the journal
        async with local_node(tmp_path, reads) as node:
            ws = (await node.host.list() or [await node.host.create(CreateWorkstream())])[0]
            await send(node.host, ws.id, f"go {turn}", f"c{turn}")
            assert (await ending(node.host, ws.id, f"c{turn}")).outcome == "done"
            requests += node.model.requests
        (tmp_path / "workspace/AGENTS.md").write_text("Use blanks.\n")

    bodies = sent(requests)
    assert len(bodies) == 2 * (STEPS + 1)
    for before, after in itertools.pairwise(bodies):
        assert after.startswith(before)


async def test_the_prompt_has_the_place_the_project_and_the_persons_words(tmp_path: Path) -> None:
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace/AGENTS.md").write_text("Use tabs.\n")
    async with local_node(
        tmp_path, lambda body: text("ok"), persona="a pirate", instructions="Be brief."
    ) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await ending(node.host, ws.id, "c1")
        prompt = node.model.requests[0]["messages"][0]["content"]

    assert str(node.workspace) in prompt
    assert "Use tabs." in prompt
    assert "a pirate" in prompt
    assert prompt.endswith("Be brief.")


def test_a_writer_has_neither_tools_nor_project_nor_memories() -> None:
    facts = Facts(Path("/ws"), now=0.0, project="Use tabs.", memories=3, creative=True)
    assert "Use tabs." not in system_prompt(facts)
    assert "recall" not in system_prompt(facts)
    assert "You are a writer." in system_prompt(facts)


def test_memories_are_hinted_at_only_where_there_are_some() -> None:
    assert "recall" not in system_prompt(Facts(Path("/ws"), now=0.0))
    assert "later: 3." in system_prompt(Facts(Path("/ws"), now=0.0, memories=3))


def test_notes_of_a_project_are_cut_where_they_are_long_and_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "AGENTS.md").write_text("x" * (MAX_NOTES + 5))
    notes = project_notes(tmp_path)
    assert notes.startswith("x" * MAX_NOTES)
    assert "cut here" in notes


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "fifo", "binary"])
def test_what_is_no_file_of_notes_is_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "AGENTS.md"
    match kind:
        case "folder":
            path.mkdir()
        case "link":
            (tmp_path / "secret").write_text("secret")
            path.symlink_to("secret")
        case "fifo":
            os.mkfifo(path)
        case "binary":
            path.write_bytes(b"\xff\xfe\0notes")
    assert "secret" not in project_notes(tmp_path)
    assert bool(project_notes(tmp_path)) is (kind == "binary")


@pytest.mark.parametrize("known", [0, 8_192])
async def test_long_notes_of_a_project_leave_a_small_window_room_for_the_conversation(
    tmp_path: Path, known: int
) -> None:
    (tmp_path / "workspace").mkdir()
    notes = "Use tabs, not blanks. Run the tests first.\n" * 950
    (tmp_path / "workspace/AGENTS.md").write_text(notes)
    talk = LongTalk(8_192)
    settings = {"context_window": known, "params": {"max_tokens": 1_024}}
    async with local_node(tmp_path, talk, **settings) as node:
        ws = await node.host.create(CreateWorkstream())
        for number in range(8):
            await send(node.host, ws.id, "a message of many words " * 40, f"c{number}")
            assert (await ending(node.host, ws.id, f"c{number}")).outcome == "done"
        prompt = node.model.requests[-1]["messages"][0]["content"]

    assert talk.too_long == (0 if known else 1)  # its refusal tells the window
    assert "AGENTS.md is longer; it was cut here, after 4,915 bytes" in prompt
