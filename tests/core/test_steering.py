"""A message that steers: read with the next tool results, once, and never lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelserver import ModelServer, Reply, call, calls, text
from support.held_tools import HeldTool
from support.nodes import local_node, start_host
from support.watching import ending, send, until
from turnstone.core import events as ev
from turnstone.core.host import CreateWorkstream
from turnstone.core.transcript import Transcript


def waits_once(body: dict[str, Any]) -> Reply:
    """One call for each first message; then an answer with all that the user said."""
    if not results(body):
        return calls(call("wait", key="k"))
    return text(" / ".join(said(body)))


def results(body: dict[str, Any]) -> int:
    """Of the whole conversation, whatever the user said in between."""
    return sum(m["role"] == "tool" for m in body["messages"])


def said(body: dict[str, Any]) -> list[str]:
    return [m["content"] for m in body["messages"] if m["role"] == "user"]


async def test_the_model_reads_it_behind_the_next_tool_results(tmp_path: Path) -> None:
    tool = HeldTool()
    async with local_node(tmp_path, waits_once, tools={"wait": tool}) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("k")
        await send(node.host, ws.id, "rather left", "c2", busy="steer")
        tool.let_go("k")
        own = await ending(node.host, ws.id, "c1")
        folded, seen = await until(node.host, ws.id, ev.TurnEnded, "c2")

        kept = await node.host.ending(ws.id, "c2")
        [info] = await node.host.list()
    roles = [m["role"] for m in node.model.requests[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "user"]
    assert own.text == folded.text == "go / rather left"
    assert (own.turn, folded.turn, folded.outcome) == ("", "c1", "done")
    assert folded.usage is None
    assert kept is not None
    assert kept.turn == "c1"
    assert [e.steered for e in seen if isinstance(e, ev.StepStarted)] == [[], ["c2"]]
    assert (info.queued, info.state) == (0, "idle")


async def test_where_no_step_follows_it_is_the_next_turn_before_what_is_queued(
    tmp_path: Path,
) -> None:
    tool = HeldTool()
    async with local_node(tmp_path, waits_once, tools={"wait": tool}, max_steps=1) as node:
        node.model.plan = lambda body: (
            calls(call("wait", key="k")) if said(body)[-1] == "go" else text("ok")
        )
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("k")
        await send(node.host, ws.id, "queued", "c2")
        await send(node.host, ws.id, "steer one", "c3", busy="steer")
        await send(node.host, ws.id, "steer two", "c4", busy="steer")
        tool.let_go("k")
        _, seen = await until(node.host, ws.id, ev.TurnEnded, "c2")

    ended = [e for e in seen if isinstance(e, ev.TurnEnded)]
    assert [e.correlation_id for e in ended] == ["c1", "c3", "c4", "c2"]
    assert ended[0].outcome == "max_steps"
    assert all(e.ends_turn for e in ended)


async def test_to_an_idle_workstream_it_is_a_message_like_any_other(tmp_path: Path) -> None:
    async with local_node(tmp_path, lambda body: text(said(body)[-1])) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "hello", "c1", busy="steer")
        ended = await ending(node.host, ws.id, "c1")

    assert (ended.text, ended.ends_turn) == ("hello", True)


async def test_a_cancel_of_the_turn_ends_what_was_steered_into_it_too(tmp_path: Path) -> None:
    tool = HeldTool()

    def plan(body: dict[str, Any]) -> Reply:
        return calls(call("wait", key=f"k{results(body)}"))

    async with local_node(tmp_path, plan, tools={"wait": tool}) as node:
        ws = await node.host.create(CreateWorkstream())
        await send(node.host, ws.id, "go", "c1")
        await tool.runs("k0")
        await send(node.host, ws.id, "rather left", "c2", busy="steer")
        tool.let_go("k0")
        await tool.runs("k1")
        assert not await node.host.cancel(ws.id, "c2")  # the model has read it
        assert await node.host.cancel(ws.id)
        outcomes = [(await ending(node.host, ws.id, cid)).outcome for cid in ("c1", "c2")]

    assert outcomes == ["cancelled", "cancelled"]


async def test_it_survives_a_restart_and_is_read_once(tmp_path: Path) -> None:
    tool = HeldTool(effect="pure")
    with ModelServer(waits_once) as model:
        host = await start_host(tmp_path, model.base_url, tools={"wait": tool})
        ws = await host.create(CreateWorkstream())
        await send(host, ws.id, "go", "c1")
        await tool.runs("k")
        await send(host, ws.id, "rather left", "c2", busy="steer")
        await host.aclose()

        again = await start_host(tmp_path, model.base_url, tools={"wait": tool})
        await tool.runs("k")
        tool.let_go("k")
        ended = [await ending(again, ws.id, cid) for cid in ("c1", "c2")]
        await send(again, ws.id, "more", "c3")
        await ending(again, ws.id, "c3")
        duplicate = await send(again, ws.id, "rather left", "c2", busy="steer")
        await again.aclose()

    assert [e.text for e in ended] == ["go / rather left"] * 2
    assert said(model.requests[-1]) == ["go", "rather left", "more"]
    assert duplicate == "c2"


moves = st.lists(
    st.sampled_from(["send", "steer", "step", "end"]),
    max_size=30,
)


@given(moves)
def test_whatever_comes_when_every_message_is_said_once_and_ends_once(made: list[str]) -> None:
    """The fold, fed as a session feeds it: in every order, nothing is lost nor doubled."""
    transcript = Transcript()
    sent: list[str] = []
    ended: list[str] = []

    def end() -> None:
        turn = transcript.turn
        own = turn.message.correlation_id if turn else transcript.waiting[0].correlation_id
        steered = [m.correlation_id for m in turn.steered] if turn else []
        transcript.apply(ev.TurnEnded(correlation_id=own))
        for cid in steered:
            transcript.apply(ev.TurnEnded(correlation_id=cid, turn=own))
        ended.extend([own, *steered])

    for move in made:
        if move in ("send", "steer"):
            sent.append(f"c{len(sent)}")
            transcript.apply(
                ev.MessageAccepted(message=sent[-1], correlation_id=sent[-1], steer=move == "steer")
            )
        elif transcript.turn is None and not transcript.waiting:
            continue
        elif move == "end":
            end()
        elif transcript.turn is None:
            cid = transcript.waiting[0].correlation_id
            transcript.apply(ev.StepStarted(correlation_id=cid))
        else:
            taken = [m.correlation_id for m in transcript.waiting if m.steer]
            transcript.apply(
                ev.StepStarted(
                    step=transcript.turn.steps + 1,
                    steered=taken,
                    correlation_id=transcript.turn.message.correlation_id,
                )
            )
    while transcript.turn is not None or transcript.waiting:
        end()

    assert sorted(m["content"] for m in transcript.messages) == sorted(sent)
    assert sorted(ended) == sorted(sent)
