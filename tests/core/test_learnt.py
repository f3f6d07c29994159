"""What requests have shown of a model holds for that one, whatever name it goes by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelserver import Reply, text
from support.long_talk import LongTalk, Prints
from support.nodes import local_node
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream, Host
from turnstone.core.learnt import Learnt

TOOLS = {"read_file": Prints("read_file", "x")}


async def turn(host: Host, ws_id: str, message: str, cid: str) -> ev.TurnEnded:
    await send(host, ws_id, message, cid)
    return await ending(host, ws_id, cid)


async def compactions(host: Any, ws_id: str) -> list[ev.Compacted]:
    return [r for r in await host._store.records(ws_id) if isinstance(r, ev.Compacted)]


@pytest.mark.parametrize("says", [False, True])
@pytest.mark.parametrize("larger", [{"model_name": "large"}, {"context_window": 131_072}])
async def test_the_window_of_a_small_model_is_forgotten_where_a_larger_takes_its_place(
    tmp_path: Path, says: bool, larger: dict[str, Any]
) -> None:
    talk = LongTalk(5_000, says_window=says)
    settings: dict[str, Any] = {"tools": TOOLS, "context_window": 0, "params": {"max_tokens": 512}}
    async with local_node(tmp_path, talk, **settings) as node:
        ws_id = (await node.host.create(CreateWorkstream())).id
        for number in range(40):
            await turn(node.host, ws_id, "many words " * 150, f"c{number}")
            if talk.too_long:
                break
        before = len(await compactions(node.host, ws_id))
    talk.window = 0
    async with local_node(tmp_path, talk, **settings | larger) as node:
        for number in range(15):
            await turn(node.host, ws_id, "more words " * 150, f"d{number}")
        after = len(await compactions(node.host, ws_id))

    assert 0 < before == after


def test_the_counts_of_one_model_correct_no_estimate_of_another() -> None:
    learnt = Learnt()
    for key, counted in (("one", 200), ("other", 50), ("", 1_000)):
        usage = ev.Usage(counted, 1, counted + 1)
        learnt.apply(ev.StepFinished(asked="default", model_key=key, usage=usage, estimate=100))

    assert learnt.ratios == {"one": 1.5, "other": 0.75}


@pytest.mark.parametrize("window", [8_192, 6_144])
async def test_where_only_the_answer_is_too_long_a_shorter_one_is_asked_for(
    tmp_path: Path, window: int
) -> None:
    """The settings as they are shipped, and a server that tells no number."""
    talk = LongTalk(window, says_window=False)
    settings = {"context_window": 0, "params": {"max_tokens": 32_768}}
    async with local_node(tmp_path, talk, **settings) as node:
        ws_id = (await node.host.create(CreateWorkstream())).id
        first = await turn(node.host, ws_id, "hello", "c1")
        refused = talk.too_long
        second = await turn(node.host, ws_id, "hello again", "c2")

    assert (first.outcome, second.outcome) == ("done", "done")
    assert refused
    assert talk.too_long == refused  # what was taken is remembered
    asked = [request["max_tokens"] for request in node.model.requests]
    assert asked[: refused + 1] == [32_768 >> n for n in range(refused + 1)]


async def test_a_refused_conversation_goes_on_after_the_answer_was_made_shorter(
    tmp_path: Path,
) -> None:
    talk = LongTalk(8_192, says_window=False)
    settings = {"tools": TOOLS, "context_window": 0, "params": {"max_tokens": 32_768}}
    async with local_node(tmp_path, talk, **settings) as node:
        ws_id = (await node.host.create(CreateWorkstream())).id
        ended = [await turn(node.host, ws_id, "many words " * 300, f"c{n}") for n in range(30)]
        done = await compactions(node.host, ws_id)

    assert {one.outcome for one in ended} == {"done"}
    assert talk.refused == []
    assert done


async def test_another_model_under_the_same_name_is_told_when_a_turn_begins(
    tmp_path: Path,
) -> None:
    def plan(body: dict[str, Any]) -> Reply:
        return text("ok")

    told: list[list[str]] = []
    ws_id = ""
    for number, model in enumerate(("first", "second", "second")):
        async with local_node(tmp_path, plan, model_name=model) as node:
            ws_id = ws_id or (await node.host.create(CreateWorkstream())).id
            last = len(await node.host._store.records(ws_id))
            cid = await send(node.host, ws_id, "hello", f"c{number}")
            _, seen = await until(node.host, ws_id, ev.TurnEnded, cid, after=last)
            told.append([event.message for event in seen if isinstance(event, ev.Info)])

    said = "The conversation went on with the model first so far, and goes on with second."
    assert told == [[], [said], []]
